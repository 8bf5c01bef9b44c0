#!/bin/bash
# kill_loop.sh - a gateway that is killed in the middle of PUT config and change_subnet while clients come and go, also with a
# full disk: nothing that was acknowledged is lost, nothing is half done, nothing is left behind.
#
# usage: kill_loop.sh [ROUNDS [SEED [OPTION...]]]    ROUNDS of killing (default 40); 1000 is what a release is held to:
#        QANAT_BIN=BUILD/src tests/e2e/kill_loop.sh 1000     with a release build that has -Dfault_points=true
# OPTIONs are the gateway's, such as --no-offload.  Without fault points it is killed at random moments only, without strace at no
# system calls.  A seed repeats the choices, not the moments.
. "$(dirname "$0")/lib.sh"
need python3 wg nft nsenter
rounds=${1:-40} seed=${2:-$RANDOM}
shift $(($# > 2 ? 2 : $#))
if_g=qk$id
mkdir "$work/state" "$work/run" && mount -t tmpfs -o size=8m,mode=700 qanat-kill "$work/state" || exit 1
trap 'umount -l "$work/state"; finish' EXIT

for n in G I; do ns_add $n || exit 1; done
link_add G up0 I eth0 || exit 1
addr_add G up0 192.0.2.1/24
ip -n "q${id}G" route add default via 192.0.2.254
host() { ip -n "q${id}G" -4 -o addr; ip -n "q${id}G" route; ns G nft list ruleset; ns G sysctl net.ipv4.ip_forward; }
before=$(host)
options=(-n "$rounds" -s "$seed")
for o; do options+=("-x=$o"); done
! grep -q QANAT_CRASH_AT "$QANAT_BIN/qanat-gateway" || options+=(--faults)
type -P strace >/dev/null && options+=(--strace)
nsenter --net="/run/netns/q${id}G" python3 "$top/tests/e2e/kill_loop.py" "$QANAT_BIN" "$work" "$if_g" "${options[@]}" \
	>"$work/loop.out" 2>"$work/loop.err"
check_eq "killed, seed $seed: $(cat "$work/loop.out")" "" "$(head -c 4000 "$work/loop.err")"
check_has "all rounds" "$(cat "$work/loop.out")" "^$rounds rounds"
[ "$failed" = 0 ] && check_eq "stopped, it has left nothing" "$before" "$(host)"
check_eq "nothing for the sanitizers to say" "" "$(grep -E 'Sanitizer|runtime error' "$work/gateway.log" | head -n 5)"
