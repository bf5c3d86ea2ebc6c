"""Compiles each public header on its own: headers.py INCLUDE_FOLDER LANGUAGE STANDARD -- COMPILER..."""
import pathlib
import subprocess
import sys

WARNINGS = ['-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Werror']


def main():
    folder, language, standard = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    compiler = sys.argv[sys.argv.index('--') + 1:]
    headers = sorted((folder / 'clbilevel').glob('*.h'))
    umbrella = (folder / 'clbilevel/clbilevel.h').read_text(encoding='utf-8')
    others = {header.name for header in headers} - {'clbilevel.h'}
    failed = [name for name in sorted(others) if f'#include <clbilevel/{name}>' not in umbrella]
    for name in failed:
        print(f'{name}: clbilevel.h does not include it')
    for header in headers:
        # Twice, so that a missing include guard shows.
        text = f'#include <clbilevel/{header.name}>\n' * 2 + 'int main(void) { return 0; }\n'
        command = compiler + [f'-std={standard}', *WARNINGS, '-fsyntax-only', f'-I{folder}', '-x', language, '-']
        result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            print(f'{header.name} as {standard}:\n{result.stderr}')
            failed.append(header.name)
    print(f'{len(headers)} headers as {standard}, {len(failed)} failed')
    sys.exit(1 if failed or not headers else 0)


main()
