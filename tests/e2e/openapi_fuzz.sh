#!/bin/bash
# openapi_fuzz.sh - hostile requests to every operation of docs/openapi/gateway.yaml, while one peer's packets are there to
# be lost: no 5xx, no crash, no leak (with programs built with the sanitizers), and no answer but those that are described there.
#
# usage: openapi_fuzz.sh [COUNT [SEED]]    COUNT requests (default 3000); 200000 is what a release is held to:
#        QANAT_BIN=BUILD/src tests/e2e/openapi_fuzz.sh 200000     with a build of -Db_sanitize=address,undefined, some minutes
. "$(dirname "$0")/lib.sh"
need python3 wg nsenter
count=${1:-3000} seed=${2:-$RANDOM}
if_g=qg$id state=$work/state
export WG_AGENT_SECRET=fuzz-secret-of-both-interfaces GATEWAY_API_KEY=fuzz-secret-of-both-interfaces
export GATEWAY_PUBLIC_KEY=fuzz-secret-of-payloads

for n in G I; do ns_add $n || exit 1; done
link_add G up0 I eth0 || exit 1
addr_add G up0 192.0.2.1/24
ip -n "q${id}G" route add default via 192.0.2.254
ready_or_dead() { [ -s "$work/ready" ] || ! kill -0 "$gateway" 2>/dev/null; }
ns_spawn G gateway.log qanat-gateway --state "$state" --socket "$work/control.sock" --interface "$if_g" --log-level warn \
	--agent-api-rate 1000000 --peer-api-rate 1000000 --peer-api-listen 127.0.0.1:8000 --endpoint 192.0.2.1 --ready-fd 9 9>"$work/ready"
gateway=$spawned
wait_for 30 ready_or_dead
check "the gateway starts" test -s "$work/ready" || cat "$work/gateway.log"
ns G python3 "$top/tests/e2e/openapi_fuzz.py" https://127.0.0.1:8080 "$WG_AGENT_SECRET" --peers https://127.0.0.1:8000 -n "$count" -s "$seed" \
	-i "$if_g" -p "$gateway" \
	>"$work/fuzz.out" 2>"$work/fuzz.err"
check_eq "hostile requests, seed $seed: $(head -n 1 "$work/fuzz.out")" "" "$(tail -n 5 "$work/fuzz.err")"
check_has "they were sent" "$(cat "$work/fuzz.out")" "^$count requests"
check_has "many were taken" "$(cat "$work/fuzz.out")" ' 200 x [0-9]{2,}'
[ "$count" -lt 20000 ] || check_eq "each operation was done" "" "$(grep 'never done' "$work/fuzz.out")"
stop "$gateway"
check_eq "stops" 0 "$stopped"
check_eq "nothing for the sanitizers to say" "" "$(grep -E 'Sanitizer|runtime error' "$work/gateway.log" | head -n 5)"
check_eq "nobody else's files" "" "$(grep -E 'PostUp = id' -r "$state" 2>/dev/null | head -n 1)"
