# lib.sh - what the end-to-end tests share: namespaces, processes, checks, a summary.  Sourced by bash.
#
# A test makes everything under one work directory and under namespaces whose names carry its pid, starts
# processes only through `spawn`, and leaves nothing: `finish` (also on error and interrupt) ends what was
# spawned, by pid, and removes the namespaces.  Each check prints `ok NAME` or `not ok NAME: why`.
#
# QANAT_BIN: directory of the programs under test (default: build/src of this checkout).

set -u -o pipefail
export LC_ALL=C

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
QANAT_BIN=${QANAT_BIN:-$top/build/src}
export PATH="$QANAT_BIN:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
id=$$
work=$(mktemp -d "/tmp/qanat-e2e.$id.XXXX")
chmod 711 "$work" # the gateway's own user passes through
passed=0 failed=0 skipped=0
namespaces=() pids=()

ok() { passed=$((passed + 1)); echo "ok $1"; }
not_ok() { failed=$((failed + 1)); echo "not ok $1: ${2:-}"; }
skip() { skipped=$((skipped + 1)); echo "skip $1: $2"; }

# check NAME COMMAND...: passes when the command does; its output is shown when it does not.
check() {
	local name=$1
	shift
	# Not in a subshell: what the command sets and spawns is kept.
	if "$@" >"$work/check.out" 2>&1; then ok "$name"; else not_ok "$name" "$* said: $(head -c 800 "$work/check.out")"; fi
}

# check_eq NAME WANT GOT
check_eq() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "wanted '$2', got '$3'"; fi
}

# check_has NAME TEXT PATTERN: TEXT matches the extended regular expression.
check_has() {
	if grep -Eq -- "$3" <<<"$2"; then ok "$1"; else not_ok "$1" "no /$3/ in: ${2:0:800}"; fi
}

# A namespace of this test: ns_add VAR-SUFFIX prints its full name.
ns_add() {
	local name="q$id$1"
	ip netns add "$name" && ip -n "$name" link set lo up && namespaces+=("$name")
}
ns() { local name="q$id$1"; shift; ip netns exec "$name" "$@"; }

# link_add NS_A DEV_A NS_B DEV_B: a pair of Ethernet devices between two namespaces, up.
link_add() {
	ip link add name "$2" netns "q$id$1" type veth peer name "$4" netns "q$id$3" &&
		ip -n "q$id$1" link set "$2" up && ip -n "q$id$3" link set "$4" up
}

# addr_add NS DEV ADDRESS...
addr_add() {
	local n=$1 dev=$2 a
	shift 2
	for a; do
		case $a in
		*:*) ip -n "q$id$n" addr add "$a" dev "$dev" nodad ;;
		*) ip -n "q$id$n" addr add "$a" dev "$dev" ;;
		esac || return
	done
}

# spawn LOGFILE COMMAND...: starts in the background; its pid is in $spawned.
spawn() {
	local log=$1
	shift
	"$@" >"$work/$log" 2>&1 </dev/null &
	spawned=$!
	pids+=("$spawned")
}

# ns_spawn NS LOGFILE COMMAND...: the same inside a namespace; the pid is the command's own.
ns_spawn() {
	local n="q$id$1" log=$2
	shift 2
	spawn "$log" nsenter --net="/run/netns/$n" "$@"
}

# stop PID [SIGNAL]: asks, waits up to 10 s, then kills; the exit status is in $stopped.
stop() {
	local pid=$1 i
	kill -"${2:-TERM}" "$pid" 2>/dev/null
	for ((i = 0; i < 100; i++)); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	kill -KILL "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	stopped=$?
}

# wait_for SECONDS COMMAND...: until the command succeeds.  SECONDS is what it takes at most where nothing else runs; three
# times as long is waited, for no test depends on how busy the machine is.
wait_for() {
	local end=$((SECONDS + $1 * 3))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.1
	done
}

# pings_start NS ADDRESS: a hundred echo requests a second, until pings_stop.
pings_start() {
	ns_spawn "$1" pings.log stdbuf -oL ping -i 0.01 -W 5 "$2"
	pinger=$spawned
}

# pings_stop: ends them; $lost has the numbers of those without an answer ("" when there are none).  It waits first for
# answers to requests later than now: whatever is still on its way at the end says nothing.
pings_stop() {
	local now=$(pings_last)
	wait_for 10 pings_later "${now:-0}"
	stop "$pinger" INT
	lost=$(awk 'match($0, /icmp_seq=[0-9]+/) { seq = substr($0, RSTART + 9, RLENGTH - 9) + 0; seen[seq] = 1; if (seq > last) last = seq }
		END { for (i = 1; i <= last; i++) if (!(i in seen)) { printf "%s%d", sep, i; sep = " " } }' "$work/pings.log")
	[ "$(pings_last)" -gt "${now:-0}" ] || lost="all after ${now:-0}"
}
pings_last() { grep -Eo 'icmp_seq=[0-9]+' "$work/pings.log" | tail -n 1 | cut -d= -f2; }
pings_later() { [ "$(pings_last)" -gt $(($1 + 10)) ]; }

# port_held NS PORT: somebody has that UDP port.
port_held() { [ -n "$(ns "$1" ss -Hlun "sport = :$2")" ]; }

finish() {
	local pid n
	trap - EXIT INT TERM
	for pid in "${pids[@]:-}"; do [ -n "$pid" ] && kill "$pid" 2>/dev/null; done
	[ "${#pids[@]}" -gt 0 ] && wait_for 5 gone "${pids[@]}"
	for pid in "${pids[@]:-}"; do [ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null; done
	wait 2>/dev/null
	for n in "${namespaces[@]:-}"; do [ -n "$n" ] && ip netns del "$n" 2>/dev/null; done
	if [ "$failed" -gt 0 ] && [ -n "${QANAT_KEEP:-}" ]; then
		echo "kept: $work"
	else
		rm -rf "$work"
	fi
	echo "$passed passed, $failed failed, $skipped skipped"
	exit $((failed > 0))
}
gone() {
	local pid
	for pid; do kill -0 "$pid" 2>/dev/null && return 1; done
	return 0
}
trap finish EXIT
trap 'exit 130' INT TERM

need() { # need PROGRAM...: the whole test is skipped, with the reason, where one is missing.
	local p
	for p; do
		type -P "$p" >/dev/null || { skip "$(basename "$0")" "no program $p"; exit 0; }
	done
}

if [ "$(id -u)" != 0 ]; then
	skip "$(basename "$0")" "needs root for network namespaces"
	exit 0
fi
if [ ! -c /dev/net/tun ]; then
	skip "$(basename "$0")" "needs /dev/net/tun"
	exit 0
fi
