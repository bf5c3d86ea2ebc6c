#!/bin/sh
# Runs a test on Oclgrind, a simulated device that sees every access of a kernel: one beyond a buffer, or a data race, in the test or in
# any program that it starts, fails it. CACHE is the folder for programs built there: oclgrind.sh CACHE COMMAND...
#
# Not checked: values that were never written. Oclgrind 21.10 takes a buffer that the host has written in two pieces (or filled) for
# uninitialized in all but the last piece, and ends at the compiler's "freeze" instruction.
cache=$1
shift
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
# Every context empties the file it logs to; a pipe keeps what all contexts of all processes said.
mkfifo "$folder/log" || exit 1
cat "$folder/log" > "$folder/findings" &
reader=$!
exec 3> "$folder/log"
# Inlined functions with "restrict" become an instruction that Oclgrind does not know; the word promises, it computes nothing. Test cases
# with threads are left out: Oclgrind itself is not safe in them; those that measure speed; and those that run long kernels over and over,
# which it need see once. The time a test case may take is for a compiled device.
CK_EXCLUDE_TAGS='threads speed repeated' CK_TIMEOUT_MULTIPLIER=20 CLBILEVEL_EXACT=1 XDG_CACHE_HOME=$cache \
    oclgrind --data-races --build-options -Drestrict= --log "$folder/log" "$@"
status=$?
exec 3>&-
wait "$reader"
[ -s "$folder/findings" ] || exit "$status"
echo "Oclgrind found:" >&2
head -n 200 "$folder/findings" >&2
exit 1
