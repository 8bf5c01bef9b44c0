#!/bin/bash
# backends.sh - the table of tests for devices (src/device/tests/backend_test.c) against daemons of other
# processes, each by its UAPI socket: qanat-wg and wireguard-go.  Then a gateway on a daemon's device, and with further
# interfaces beside it.
#
#   namespace P                    namespace D
#   192.0.2.2  ------------------  192.0.2.1   the daemon with its interface, the test or the gateway beside it
#   a client of a further one
. "$(dirname "$0")/../e2e/lib.sh"

. "$(dirname "$0")/table.sh"
. "$(dirname "$0")/further.sh"
need wireguard-go wg jq python3 ping nft "$table" qanat-gateway qanat
ns_add D && ns_add P && link_add P eth0 D up0 && addr_add P eth0 192.0.2.2/24 && addr_add D up0 192.0.2.1/24 || exit 1

for daemon in qanat-wg wireguard-go; do
	dev=kd$id
	check "$daemon starts" ns D "$daemon" "$dev"
	ns D timeout 100 "$table" "uapi:/var/run/wireguard/$dev.sock" >"$work/$daemon.log" 2>&1
	table_rows "$daemon by UAPI" "$work/$daemon.log"
	ip -n "q${id}D" link del "$dev" # the daemon ends with its interface
	check "$daemon has ended" wait_for 10 sh -c "! [ -e /var/run/wireguard/$dev.sock ]"
done

# ---- a gateway whose packets another daemon carries ----
dev=kg$id socket=$work/control.sock
core() { ns D qanat --socket "$socket" core "$@" --json 2>&1; }
gateway_start() {
	ns_spawn D gateway.log qanat-gateway --state "$work/state" --socket "$socket" --interface "$dev" --network 10.66.0.0/24 \
		--network6 none --endpoint 192.0.2.1 --backend "${1:-uapi:/var/run/wireguard/$dev.sock}"
	gateway=$spawned
	wait_for 10 test -S "$socket"
}
check "wireguard-go starts for a gateway" ns D wireguard-go "$dev"
check "the gateway starts on its device" gateway_start
check_has "it says what it runs on" "$(cat "$work/gateway.log")" 'backend.*uapi'
check_has "a client is added" "$(core add_client client_name=one)" '"success": *true'
check_eq "and is a peer of the daemon" 1 "$(ns D wg show "$dev" peers | wc -l)"
check_has "limits are refused by name" "$(core set_client_limits client_name=one quota=1M)" 'limits need the engine'
check_has "and so is why" "$(core client_why client_name=one)" 'client_why needs the engine'
kill -USR2 $gateway
check "it restarts in place" wait_for 10 sh -c "[ \$(grep -c gateway.ready '$work/gateway.log') = 2 ]"
check_eq "the client is there" 1 "$(ns D wg show "$dev" peers | wc -l)"
check_has "a client is removed" "$(core remove_client client_name=one)" '"success": *true'
check_eq "the daemon has lost the peer" 0 "$(ns D wg show "$dev" peers | wc -l)"
core add_client client_name=two >/dev/null
stop $gateway
check_eq "it stops" 0 "$stopped"
check_eq "and leaves neither client nor key" " (none)" "$(ns D wg show "$dev" peers) $(ns D wg show "$dev" private-key)"
check_eq "nor address" "" "$(ip -n "q${id}D" -o addr show dev "$dev" scope global)"
ns D timeout 20 qanat-gateway --state "$work/other" --socket "$socket" --interface other \
	--backend "uapi:/var/run/wireguard/$dev.sock" >"$work/other.log" 2>&1
check_eq "a gateway for another interface refuses" 1 $?
check_has "and says why" "$(cat "$work/other.log")" "the daemon's interface is .*$dev.*but --interface is other"

# ---- further interfaces beside it, which are the engine's ----
further_ns=P further_at=192.0.2.1 agent_url=https://192.0.2.1:8080 further_iface=$dev further_port=51820 further_own='10\.66\.|gw\.sock' further_socket=$work/run/gw.sock
at() { ns D sh -c "$*"; }
take_port() {
	ns_spawn D taken.log python3 -c "import socket, time
s = [socket.socket(f, socket.SOCK_DGRAM) for f in (socket.AF_INET, socket.AF_INET6)]
s[1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
for x in s: x.bind(('', $1))
print('taken', flush=True); time.sleep(900)"
	taker=$spawned
	wait_for 10 grep -q taken "$work/taken.log"
}
free_port() { stop $taker; }
starts=0
gw() {
	local args=(--state "$work/further" --socket "$work/run/gw.sock" --interface "$dev" --network 10.66.0.0/24 --network6 none
		--endpoint 192.0.2.1 --backend "uapi:/var/run/wireguard/$dev.sock")
	case $1 in
	start)
		starts=$((starts + 1))
		rm -f "$work/ready"
		WG_AGENT_SECRET=$agent_secret ns_spawn D further.$starts.log qanat-gateway "${args[@]}" --ready-fd 9 9>"$work/ready"
		gateway=$spawned
		wait_for 20 test -s "$work/ready" || { cat "$work/further.$starts.log"; return 1; } ;;
	restart)
		local n=$(grep -c gateway.ready "$work/further.$starts.log")
		kill -USR2 $gateway && wait_for 20 eval '[ "$(grep -c gateway.ready "$work/further.$starts.log")" -gt '"$n ]" ;;
	kill) kill -KILL $gateway $(pgrep -P $gateway); wait $gateway 2>/dev/null ;;
	stop) stop $gateway; [ $stopped = 0 ] ;;
	clean-up) ns D qanat-gateway "${args[@]}" --clean-up ;;
	esac
}
further_tests "beside wireguard-go"
gw start
core_further() { ns D qanat --socket "$work/run/gw.sock" core "$@" --json; }
check_has "a client of the daemon's" "$(core_further add_client client_name=three)" '"success": *true'
gw kill
check_eq "is still there when all is killed" 1 "$(ns D wg show "$dev" peers | wc -l)"
check "cleaning up" gw clean-up
check_eq "leaves the daemon neither client nor key" " (none)" "$(ns D wg show "$dev" peers) $(ns D wg show "$dev" private-key)"
ip -n "q${id}D" link del "$dev"
finish
