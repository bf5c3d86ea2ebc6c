# Shared by tools/check, tools/demo and .ci/run, which source it: a quiet step, and one sentence where it fails.
# shellcheck shell=sh
me=${0#./}
root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
logs=$root/build-logs

fail() {
    echo "$me: $*" >&2
    exit 1
}

# step NAME SENTENCE COMMAND...: runs the command quietly; where it fails, says the sentence and where its output lies.
step() {
    step_log=$logs/$1.log
    step_sentence=$2
    shift 2
    mkdir -p "$logs" || fail "cannot write to $logs"
    "$@" </dev/null >"$step_log" 2>&1 || fail "$step_sentence; see $step_log"
}

# configure FOLDER [OPTION...]: a build folder, made with these options if there is none. One made before packages were
# installed is made anew with its own options, since meson remembers what it did not find.
configure() {
    folder=$1
    shift
    if [ ! -e "$folder/build.ninja" ]; then
        step configure "meson could not configure $folder" meson setup "$folder" "$root" "$@"
    elif [ -e "$logs/setup.log" ] && [ -n "$(find "$logs/setup.log" -newer "$folder/build.ninja")" ]; then
        step configure "meson could not configure $folder again" meson setup --wipe "$folder" "$root"
    fi
}
