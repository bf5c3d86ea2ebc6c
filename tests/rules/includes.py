"""Fails where a room includes upward: includes.py SOURCE_ROOT.

Reads every #include of include/, src/, cl/, tools/ and examples/.
"""
import pathlib
import re
import sys

# Who may include from whom, besides its own folder (the design, section 3). A missing name is an upward include.
ROOMS = {
    'base': set(),
    'graph': set(),
    'data': {'graph', 'base'},
    'device': {'base'},
    'plan': {'graph', 'device'},
    'schedule': {'plan', 'graph', 'device'},
    'nn': {'graph', 'device', 'data', 'plan'},
    'optim': {'nn', 'plan', 'graph', 'device'},
    'bilevel': {'optim', 'nn', 'schedule', 'plan', 'graph', 'device'},
}
# Generated at build time, without a folder.
GENERATED = {'blo_config.h', 'cl_sources.h'}
KERNELS_EMBEDDED_FOR = {'device', 'plan', 'schedule'}
CLBLAST_ALSO_IN = 'src/plan/gemm_clblast.c'
SUFFIXES = {'.c', '.h', '.cl'}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def wrong_in_room(file, quoted, name):
    """What is wrong with FILE (a path below src/) including NAME, or None."""
    room = file.parts[1]
    if room not in ROOMS:
        return f'src/{room} is not a room; tests/rules/includes.py lists them'
    if name.startswith('CL/') and room != 'device':
        return 'only src/device includes OpenCL'
    if name.startswith('clblast') and room != 'device' and file.as_posix() != CLBLAST_ALSO_IN:
        return f'only src/device and {CLBLAST_ALSO_IN} include CLBlast'
    if name == 'cl_sources.h' and room not in KERNELS_EMBEDDED_FOR:
        return f'the kernels are for {", ".join(sorted(KERNELS_EMBEDDED_FOR))}'
    top = name.split('/')[0]
    if not quoted:
        return f'"{name}" of the library is quoted, not in <>' if top in ROOMS else None
    if name in GENERATED or '/' not in name:
        return None
    if top == room:
        return f'its own room: write "{name.split("/", 1)[1]}"'
    if top not in ROOMS:
        return f'{top} is no room'
    return None if top in ROOMS[room] else f'{room} may not call {top}'


def wrong(file, quoted, name):
    """What is wrong with FILE (relative to the root) including NAME, or None."""
    if '..' in name.split('/'):
        return 'a path that climbs out of its folder'
    top = file.parts[0]
    if top == 'src':
        return wrong_in_room(file, quoted, name)
    if top == 'include':
        return 'a public header is included as <clbilevel/...>' if quoted else outside_opencl(name)
    if top == 'cl':
        return None if quoted else 'a kernel includes nothing of the host'
    if quoted and not ('/' not in name and name not in GENERATED):
        return f'{top} sees the public headers only'
    return outside_opencl(name) or (f'{top} sees the public headers only' if name.split('/')[0] in ROOMS else None)


def outside_opencl(name):
    return 'only src/device includes OpenCL' if name.startswith(('CL/', 'clblast')) else None


def violations(root):
    found = []
    for folder in ('include', 'src', 'cl', 'tools', 'examples'):
        for path in sorted((root / folder).rglob('*')):
            if path.suffix not in SUFFIXES:
                continue
            file = path.relative_to(root)
            for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
                match = INCLUDE.match(line)
                reason = match and wrong(file, match[1] == '"', match[2])
                if not reason and match and match[1] == '"' and '/' not in match[2] and match[2] not in GENERATED:
                    reason = None if (path.parent / match[2]).exists() else 'no such file in its own folder'
                if reason:
                    found.append(f'{file}:{number}: {match[2]}: {reason}')
    return found


if __name__ == '__main__':
    problems = violations(pathlib.Path(sys.argv[1]))
    print('\n'.join(problems) or 'every include goes downward')
    sys.exit(1 if problems else 0)
