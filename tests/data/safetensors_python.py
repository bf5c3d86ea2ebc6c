"""Python's package safetensors reads what the library writes, and the library reads what it writes.

safetensors_python.py SOURCE_ROOT LIBRARY
"""
import ctypes
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True
import python  # noqa: E402  (it lies beside this file)

python.reexec(sys.argv[1], ['numpy', 'safetensors'])
import numpy as np  # noqa: E402
import safetensors  # noqa: E402
import safetensors.numpy  # noqa: E402

LIBRARY = ctypes.CDLL(sys.argv[2])
DTYPES = [np.dtype('float32'), np.dtype('float64'), np.dtype('int32'), np.dtype('uint8')]  # as blo_dtype counts
MAX_RANK = 8
ARRAYS = {
    'upper.conv.weight': np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 2, 2),
    'upper.rate': np.array(0.1),
    'lower.none': np.zeros((0, 5), np.float64),
    'lower.steps': np.array([1, -2, 2**31 - 1], np.int32),
    'pixels \u00e9"\\': np.arange(7, dtype=np.uint8),
}
METADATA = {'format': 'pt', 'quote "': 'line\nend \u20ac'}


class Array(ctypes.Structure):
    _fields_ = [('dtype', ctypes.c_int), ('rank', ctypes.c_int), ('shape', ctypes.c_int64 * MAX_RANK),
                ('data', ctypes.c_void_p)]


LIBRARY.blo_safetensors_name.restype = ctypes.c_char_p
LIBRARY.blo_safetensors_metadata.restype = ctypes.c_char_p
LIBRARY.blo_safetensors_metadata_key.restype = ctypes.c_char_p
LIBRARY.blo_safetensors_find.restype = ctypes.POINTER(Array)


def must(call, *arguments):
    message = ctypes.create_string_buffer(500)
    if call(*arguments, message, ctypes.c_size_t(len(message))) != 0:
        raise RuntimeError(message.value.decode())


def write(path):
    file = ctypes.c_void_p()
    must(LIBRARY.blo_safetensors_create, ctypes.byref(file))
    for name, array in ARRAYS.items():
        shape = (ctypes.c_int64 * max(1, array.ndim))(*array.shape)
        must(LIBRARY.blo_safetensors_add, file, name.encode(), DTYPES.index(array.dtype), array.ndim, shape,
             array.ctypes.data_as(ctypes.c_void_p))
    for key, value in METADATA.items():
        must(LIBRARY.blo_safetensors_set_metadata, file, key.encode(), value.encode())
    must(LIBRARY.blo_safetensors_write, file, str(path).encode())
    LIBRARY.blo_safetensors_destroy(file)


def read(path):
    file = ctypes.c_void_p()
    must(LIBRARY.blo_safetensors_read, str(path).encode(), ctypes.byref(file))
    arrays, metadata = {}, {}
    for index in range(LIBRARY.blo_safetensors_count(file)):
        name = LIBRARY.blo_safetensors_name(file, index)
        found = LIBRARY.blo_safetensors_find(file, name).contents
        shape, dtype = tuple(found.shape[:found.rank]), DTYPES[found.dtype]
        size = int(np.prod(shape)) * dtype.itemsize
        data = ctypes.string_at(found.data, size) if size else b''
        arrays[name.decode()] = np.frombuffer(data, dtype).reshape(shape)
    for index in range(LIBRARY.blo_safetensors_metadata_count(file)):
        key = LIBRARY.blo_safetensors_metadata_key(file, index)
        metadata[key.decode()] = LIBRARY.blo_safetensors_metadata(file, key).decode()
    LIBRARY.blo_safetensors_destroy(file)
    return arrays, metadata


def check(what, arrays, metadata):
    assert arrays.keys() == ARRAYS.keys(), (what, arrays.keys())
    for name, array in ARRAYS.items():
        got = arrays[name]
        assert got.dtype == array.dtype and got.shape == array.shape and np.array_equal(got, array), (what, name, got)
    assert metadata == METADATA, (what, metadata)
    print(f'{what}: {len(arrays)} arrays and {len(metadata)} strings are equal')


def main():
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = pathlib.Path(folder) / 'ours.safetensors', pathlib.Path(folder) / 'theirs.safetensors'
        write(ours)
        with safetensors.safe_open(ours, framework='numpy') as file:
            check('safetensors reads ours', {name: file.get_tensor(name) for name in file.keys()}, file.metadata())
        check('we read ours', *read(ours))
        safetensors.numpy.save_file(ARRAYS, theirs, METADATA)
        check('we read theirs', *read(theirs))


main()
