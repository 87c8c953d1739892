# What leads to a target of the run goes by the run's configuration, everything else as it is: so does whatever brings a
# configuration of its own (-F).
ours= theirs=

# Counts the words up to the first operand, and looks for a configuration among them.
options() {
  OPTIND=1
  while getopts "$flags" flag; do
    [ "$flag" != F ] || theirs=yes
  done
  before=$((OPTIND - 1))
}

# Whether a word names a target of the run.
leads() {
  case $1 in
    *://*) place=${1#*://} place=${place%%[:/]*} ;;
    *) place=${1%%:*} ;;
  esac
  case $place in
    */*) ;;
    *.sluice | sluice-broker | *@sluice-broker) ours=yes ;;
  esac
}

look() {
  options "$@"
  shift "$before"
  [ "$#" -gt 0 ] || return 0
  case $takes in
    command)
      leads "$1"
      shift
      options "$@"
      ;;
    place) leads "$1" ;;
    places)
      for word do
        case $word in *:*) leads "$word" ;; esac
      done
      ;;
  esac
}

look "$@"
if [ -n "$ours" ] && [ -z "$theirs" ]; then
  exec "$program" -F "$config" "$@"
fi
exec "$program" "$@"
