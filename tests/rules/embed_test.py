"""A kernel file reaches the program byte for byte: embed_test.py EMBED -- COMPILER...

Embeds made files, compiles what came out, and compares.
"""
import pathlib
import subprocess
import sys
import tempfile

# Longer than the string literals ISO C promises; quotes, backslashes, trigraphs and UTF-8 as comments hold them.
LONG = ('/* "quoted" \\ back, ??/ tri, A·B ≤ ½ */\n__kernel void f(__global float *a) { a[0] = 1; }\n' * 90).encode()
FILES = {'empty': b'', 'long_one': LONG, 'no_newline': b'float x;'}
PROGRAM = '#include <stdio.h>\n#include <string.h>\n#include "cl_sources.h"\nint main(int argc, char **argv) {\n'
for NAME in FILES:
    PROGRAM += f'    if (argc > 1 && strcmp(argv[1], "{NAME}") == 0) {{ fputs(blo_cl_{NAME}, stdout); }}\n'
PROGRAM += '}\n'


def embed(script, folder, names):
    arguments = [folder / 'cl_sources.c', folder / 'cl_sources.h'] + [folder / f'{name}.cl' for name in names]
    return subprocess.run([sys.executable, script, *arguments], check=False, capture_output=True, text=True)


def compile_all(compiler, folder, *sources):
    flags = ['-std=c11', '-Wall', '-Wextra', '-Wpedantic', '-Wconversion', '-Werror']
    subprocess.run([*compiler, *flags, *sources, '-o', folder / 'program'], cwd=folder, check=True)


def main():
    script, compiler = sys.argv[1], sys.argv[sys.argv.index('--') + 1:]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for stem, data in {**FILES, 'Bad-Name': b'', 'zero': b'a\0b'}.items():
            (folder / f'{stem}.cl').write_bytes(data)
        (folder / 'main.c').write_text(PROGRAM)

        assert embed(script, folder, FILES).returncode == 0
        compile_all(compiler, folder, 'main.c', 'cl_sources.c')
        for stem, data in FILES.items():
            shown = subprocess.run([folder / 'program', stem], check=True, capture_output=True).stdout
            assert shown == data, f'{stem}: {len(shown)} bytes came out of {len(data)}'

        assert embed(script, folder, []).returncode == 0
        compile_all(compiler, folder, '-c', 'cl_sources.c')

        for stem in ('Bad-Name', 'zero'):
            result = embed(script, folder, [stem])
            assert result.returncode != 0 and stem in result.stderr, f'{stem} was accepted'
    print(f'{len(FILES)} files embedded and compared, none embedded, 2 refused')


main()
