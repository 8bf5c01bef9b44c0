# agent_lib.sh - what the tests of the agent API share: a panel's host, a gateway, and a change of configuration that is
# failed and killed at each of its steps.  Sourced behind lib.sh.
#
#    client host C                             gateway host G
#    192.0.2.2/24          ------------------  192.0.2.1/24   qanat-gateway, agent API at 127.0.0.1:8080
#
# $own is the gateway's interface and $if_g the one that is steered; $dev is for the client's.
# QANAT_FAULT_BIN: directory of programs built with -Dfault_points=true; without it no step is killed.

need wireguard-go wg curl python3 ping jq nsenter ss
dev=qc$id
state=$work/state sock=$work/run/control.sock
client=$top/tests/e2e/agent_client.py url=https://127.0.0.1:8080
wg_path=/v1/wg/$if_g
export WG_AGENT_SECRET=e2e-secret-of-the-agent-api

for n in C G; do ns_add $n || exit 1; done
link_add C eth0 G up0 || exit 1
addr_add G up0 192.0.2.1/24
addr_add C eth0 192.0.2.2/24
ip -n "q${id}G" route add default via 192.0.2.254

ready_or_dead() { [ -s "$work/ready" ] || ! kill -0 "$gateway" 2>/dev/null; }
bin=$QANAT_BIN with=(A=)
gateway_start() {
	rm -f "$work/ready"
	ns_spawn G gateway.log env "${with[@]}" "$bin/qanat-gateway" --state "$state" --socket "$sock" --interface "$own" \
		--endpoint 192.0.2.1 --ready-fd 9 "$@" 9>"$work/ready"
	gateway=$spawned
	wait_for 30 ready_or_dead && [ -s "$work/ready" ]
}
gateway_kill() { kill -KILL "$gateway" && wait "$gateway" 2>/dev/null; }
q() { qanat --socket "$sock" --json "$@"; }

# ask METHOD PATH ...: status and body;  body ...: the body alone;  code ...: the status alone;  text ...: its field $field
ask() { ns G python3 "$client" "$url" "$WG_AGENT_SECRET" "$@" 2>&1; }
body() { ask "$@" | tail -n +2; }
code() { ask "$@" | head -n 1; }
text() { body "$@" | jq -r "${field:-.error}"; }
config() { body GET $wg_path/config | jq -c .config; }
# put_at PATH QUERY FIELDS: a configuration with the key $private_key;  put QUERY FIELDS: of the one that is steered
put_at() { ask PUT "$1/config$2" "$(jq -cn --arg k "$private_key" "{private_key: \$k} + $3")"; }
put() { put_at "$wg_path" "$@"; }
routes() { ip -n "q${id}G" route show dev "$if_g" | grep -c 198.51.100.0/24; }

# ---- a change of configuration, at each of its steps ----

# Between ${forms[0]}, which is what there is, and ${forms[1]}; `whole` prints what store, device and host say of it, which must be
# one of ${states[@]}.  Each step: its fault point.
points=(agent.stored agent.device agent.net agent.hooks agent.verify agent.committed)

# fail_with POINT: the gateway starts anew, and POINT will fail.
fail_with() {
	stop "$gateway"
	with=(QANAT_FAULT=$1)
	gateway_start || not_ok "starts to fail at $1" "$(tail -n 3 "$work/gateway.log")"
}
change_failed_at_each_step() {
	for p in "${points[@]::5}"; do
		fail_with $p
		check_eq "failing at $p is an error" 500 "$(put "" "${forms[1]}" | head -n 1)"
		check_eq "and leaves all as it was" "${states[0]}" "$(whole)"
	done
}
# change_killed_at_each_step ROUNDS: no gateway runs before it and after it; $now is which of both there is.
change_killed_at_each_step() {
	local round p new got dead=0 wrong=0
	now=0
	for ((round = 0; round < $1; round++)); do
		p=${points[round % 6]} new=$((1 - now))
		with=(QANAT_CRASH=$p)
		gateway_start || { wrong=$((wrong + 1)); echo "round $round: did not start: $(tail -n 3 "$work/gateway.log")"; break; }
		put "" "${forms[new]}" >/dev/null 2>&1
		wait "$gateway" 2>/dev/null
		[ $? != 0 ] && dead=$((dead + 1)) # control was killed, and with it the gateway
		with=(A=)
		gateway_start || { wrong=$((wrong + 1)); echo "round $round: did not start again: $(tail -n 3 "$work/gateway.log")"; break; }
		got=$(whole)
		if [ "$got" = "${states[new]}" ]; then now=$new; elif [ "$got" != "${states[now]}" ]; then
			wrong=$((wrong + 1))
			echo "round $round, $p: $got"
		fi
		[ "$p" != agent.committed ] || [ "$got" = "${states[new]}" ] || { wrong=$((wrong + 1)); echo "round $round: a committed change is lost"; }
		gateway_kill
	done
	check_eq "killed in each of $1 rounds" "$1" "$dead"
	check_eq "old or new, whole, after each" 0 "$wrong"
}
