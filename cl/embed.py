"""Writes kernel files as C strings: embed.py OUT.c OUT.h [NAME.cl ...] -> const char blo_cl_NAME[].

Bytes are written one by one, since ISO C promises string literals of 4095 characters only. Knows nothing of OpenCL.
"""
import pathlib
import re
import sys

BYTES_PER_LINE = 24
NOTE = '/* Generated: the kernel files of cl/. */\n'


def definition(path):
    data = path.read_bytes()
    if b'\0' in data:
        sys.exit(f'{path}: holds a zero byte, which would end the string early')
    codes = [str(byte) if byte < 128 else f'(char){byte}' for byte in data] + ['0']
    lines = [','.join(codes[i:i + BYTES_PER_LINE]) for i in range(0, len(codes), BYTES_PER_LINE)]
    return f'const char blo_cl_{path.stem}[] = {{\n' + ',\n'.join(lines) + '};\n'


def main():
    source, header = (pathlib.Path(argument) for argument in sys.argv[1:3])
    files = sorted((pathlib.Path(argument) for argument in sys.argv[3:]), key=lambda path: path.stem)
    for path in files:
        if not re.fullmatch(r'[a-z][a-z0-9_]*', path.stem):
            sys.exit(f'{path}: the name of a kernel file is lower case letters, digits and underscores')
    declarations = [f'extern const char blo_cl_{path.stem}[];\n' for path in files]
    # ISO C wants at least one declaration in a file.
    empty = [] if files else ['typedef int blo_cl_no_kernel_file;\n']
    guard = '#ifndef BLO_CL_SOURCES_H\n#define BLO_CL_SOURCES_H\n\n'
    header.write_text(NOTE + guard + ''.join(declarations or empty) + '\n#endif\n')
    source.write_text(NOTE + f'#include "{header.name}"\n\n' + ''.join(definition(path) for path in files))


main()
