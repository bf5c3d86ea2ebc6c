"""A program of somebody else's builds and runs: consumer.py SOURCE_ROOT BUILD_ROOT PROGRAM_FOLDER installed|subproject.

installed: against `meson install` into a scratch folder, found by pkg-config, linked each way there is; then the
programs of README.md, which must run. subproject: as meson's fallback.
"""
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile


def run(*command, **options):
    print('+', shlex.join(map(str, command)), flush=True)
    return subprocess.run(list(map(str, command)), check=True, text=True, stdin=subprocess.DEVNULL, **options)


def introspect(meson, build):
    options = run(*meson, 'introspect', '--buildoptions', build, capture_output=True).stdout
    return {option['name']: option['value'] for option in json.loads(options)}


def readme_programs(source, scratch):
    readme = (source / 'README.md').read_text(encoding='utf-8')
    texts = re.findall(r'^```c\n(.*?)^```$', readme, re.MULTILINE | re.DOTALL)
    for number, text in enumerate(texts):
        (scratch / f'readme{number}.c').write_text(text, encoding='utf-8')
    return sorted(scratch.glob('readme*.c'))


def installed(meson, source, build, program, scratch):
    options = introspect(meson, build)
    run(*meson, 'install', '-C', build, '--no-rebuild', '--destdir', scratch / 'root', stdout=subprocess.DEVNULL)
    prefix = scratch / 'root' / options['prefix'].lstrip('/')
    libraries = prefix / options['libdir']
    environment = {**os.environ, 'PKG_CONFIG_PATH': str(libraries / 'pkgconfig'), 'LD_LIBRARY_PATH': str(libraries)}
    query = ['pkg-config', f'--define-variable=prefix={prefix}']
    version = run(*query, '--modversion', 'clbilevel', env=environment, capture_output=True).stdout.strip()
    sanitizers = [] if options.get('b_sanitize', 'none') == 'none' else [f'-fsanitize={options["b_sanitize"]}']
    compiler = [*shlex.split(os.environ.get('CC', 'cc')), '-std=c11', *sanitizers]

    def query_flags(*options):
        command = [*query, *options, '--cflags', '--libs', 'clbilevel']
        return run(*command, env=environment, capture_output=True).stdout.split()

    archive = libraries / 'libclbilevel.a'
    if archive.exists():
        flags = [archive if flag == '-lclbilevel' else flag for flag in query_flags('--static')]
        run(*compiler, program / 'main.c', '-o', scratch / 'static', *flags)
        run(scratch / 'static', version, env=environment)
    for text in [program / 'main.c', *readme_programs(source, scratch)]:
        run(*compiler, text, '-o', scratch / text.stem, *query_flags())
        run(scratch / text.stem, *([version] if text.stem == 'main' else []), env=environment)


def subproject(meson, source, program, scratch):
    shutil.copytree(program, scratch / 'program')
    (scratch / 'program/subprojects').mkdir()
    (scratch / 'program/subprojects/clbilevel').symlink_to(source, target_is_directory=True)
    build = scratch / 'build'
    run(*meson, 'setup', build, scratch / 'program', '--wrap-mode=forcefallback', '--force-fallback-for=clbilevel')
    run(*meson, 'compile', '-C', build, '-j', '2')
    run(*meson, 'test', '-C', build, '--no-rebuild')


def main():
    source, build, program = (pathlib.Path(argument) for argument in sys.argv[1:4])
    meson = shlex.split(os.environ.get('MESON', 'meson'))
    with tempfile.TemporaryDirectory() as folder:
        if sys.argv[4] == 'installed':
            installed(meson, source, build, program, pathlib.Path(folder))
        else:
            subproject(meson, source, program, pathlib.Path(folder))


main()
