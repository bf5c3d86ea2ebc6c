"""Every C program of README.md compiles without a warning: readme.py SOURCE_ROOT -- COMPILER...

Its links lead somewhere, too. Its commands are run by .ci/run, its programs by consumer.py.
"""
import pathlib
import re
import subprocess
import sys


def main():
    root, compiler = pathlib.Path(sys.argv[1]), sys.argv[sys.argv.index('--') + 1:]
    text = (root / 'README.md').read_text(encoding='utf-8')
    programs = re.findall(r'^```c\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
    for program in programs:
        command = [*compiler, '-std=c11', '-Wall', '-Wextra', '-Werror', '-Wno-unused-parameter', '-fsyntax-only',
                   f'-I{root / "include"}', '-x', 'c', '-']
        subprocess.run(command, input=program, text=True, check=True)
    links = [link for link in re.findall(r'\]\(([^)#]+)\)', text) if '://' not in link]
    broken = [link for link in links if not (root / link).exists()]
    print(f'{len(programs)} programs compiled, {len(links)} links into the tree, broken: {broken}')
    sys.exit(1 if broken or not programs else 0)


main()
