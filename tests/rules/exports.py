"""The library exports exactly what its headers declare: exports.py INCLUDE_FOLDER NM SHARED_LIBRARY STATIC_LIBRARY.

Exported is what nm finds in the shared library; declared is each function marked BLO_API in include/. Inside the
library too, every name that is not static starts with blo_, so that a static link clashes with nobody.
"""
import pathlib
import re
import subprocess
import sys

# What linkers add on some systems.
LINKER = {'_init', '_fini', '_edata', '_end', '__bss_start'}
# What sanitizers and coverage add to each object.
INSTRUMENTS = ('__asan', '__ubsan', '__odr_asan', '__gcov', '__llvm', '__sancov', '__start_', '__stop_', 'asan.')
DECLARED = re.compile(r'^BLO_API\b[^;{]*?\b(\w+)\s*\(', re.MULTILINE)
ANY_FUNCTION = re.compile(r'^(?!typedef|BLO_API|#|/\*| |\}|enum|struct|extern)[\w *]*\b(blo_\w+)\s*\(', re.MULTILINE)
COMMENT = re.compile(r'/\*.*?\*/', re.DOTALL)


def defined(nm, *arguments):
    lines = subprocess.run([nm, '-P', *arguments], capture_output=True, text=True, check=True).stdout.splitlines()
    names = {line.split()[0].split('@')[0] for line in lines if len(line.split()) >= 3}
    return {name for name in names if name not in LINKER and not name.startswith(INSTRUMENTS)}


def main():
    include, nm, shared, objects = sys.argv[1:]
    declared, unmarked = set(), set()
    for header in pathlib.Path(include).rglob('*.h'):
        text = COMMENT.sub('', header.read_text(encoding='utf-8'))
        declared |= set(DECLARED.findall(text))
        unmarked |= set(ANY_FUNCTION.findall(text))
    exported = defined(nm, '-D', '--defined-only', shared)
    internal = {name for name in defined(nm, '-g', '--defined-only', objects) if not name.startswith('blo_')}
    complaints = {
        'exported without being declared BLO_API in include/': exported - declared,
        'declared in include/ but not exported': declared - exported,
        'declared in include/ without BLO_API': unmarked,
        'not static and without the prefix blo_': internal,
    }
    for complaint, names in complaints.items():
        for name in sorted(names):
            print(f'{name}: {complaint}')
    print(f'{len(declared)} functions declared, {len(exported)} exported')
    sys.exit(1 if any(complaints.values()) or not declared else 0)


main()
