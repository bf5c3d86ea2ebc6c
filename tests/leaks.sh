#!/bin/sh
# Runs a test under LeakSanitizer. The sanitizer's tracer itself can crash when a thread of an OpenCL implementation ends while it looks
# ("LeakSanitizer has encountered a fatal error"): that says nothing of the test, which is then run again, at most twice more.
# Everything else, a leak report above all, stands at once.
# All cases of a test run in one process, which looks once, at its end: in a forked one the tracer crashed at every try, in
# the same cases.
export CK_FORK=no
errors=$(mktemp) || exit 1
trap 'rm -f "$errors"' EXIT
for try in 1 2 3; do
    "$@" 2> "$errors"
    status=$?
    grep -q 'LeakSanitizer has encountered a fatal error' "$errors" || break
    echo "LeakSanitizer crashed (try $try)"
done
cat "$errors" >&2
exit "$status"
