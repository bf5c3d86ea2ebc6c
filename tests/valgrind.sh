#!/bin/sh
# Runs a test under valgrind: a wrong access or a value never written in the code of the host, or memory lost for good, fails it.
# CACHE is the folder for kernels that PoCL builds there (valgrind's processor has other instructions): valgrind.sh CACHE COMMAND...
cache=$1
shift
mkdir -p "$cache"
CK_TIMEOUT_MULTIPLIER=20 POCL_CACHE_DIR=$cache exec valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite \
    --errors-for-leak-kinds=definite --num-callers=40 --suppressions="$(dirname "$0")/valgrind.supp" "$@"
