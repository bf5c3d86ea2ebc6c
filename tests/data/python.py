"""Finds a Python that has what a test compares with: this one, or that of build-peers/ (made by tools/peers-setup).

Call reexec(SOURCE_ROOT, MODULES) first: it returns where all MODULES can be imported, else goes on in the other Python,
else ends with the status that meson takes for SKIP.
"""
import importlib.util
import os
import pathlib
import sys

SKIP = 77


def reexec(source_root, modules):
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if not missing:
        return
    peer = pathlib.Path(source_root) / 'build-peers/bin/python'
    if peer.exists() and os.environ.get('CLBILEVEL_TEST_PYTHON') != str(peer):
        os.environ['CLBILEVEL_TEST_PYTHON'] = str(peer)
        os.execv(peer, [str(peer), *sys.argv])
    print(f'SKIP: no Python here has {", ".join(missing)}; tools/peers-setup makes one')
    sys.exit(SKIP)
