#!/bin/bash
# processes.sh - the engine in a process of its own: what it may do, as the kernel shows it, and that it works so.
#
#    client host C                  gateway host G
#    192.0.2.2/24  ---------------  192.0.2.1/24
#    10.8.0.2      ===============  10.8.0.1        qanat-wg and qanat-gateway --separate
#
# docs/operations/security.md lists the same rights for people.
. "$(dirname "$0")/lib.sh"
need wg ip ping nsenter jq ss pgrep socat
if_g=qg$id
state=$work/state sock=$work/run/control.sock workers=2

for n in C G; do ns_add $n || exit 1; done
link_add C eth0 G eth0 || exit 1
addr_add G eth0 192.0.2.1/24
addr_add C eth0 192.0.2.2/24

ready_or_dead() { [ -s "$work/ready" ] || ! kill -0 "$gateway" 2>/dev/null; }
gateway_start() {
	rm -f "$work/ready"
	ns_spawn G gateway.log qanat-gateway --separate --workers $workers --state "$state" --socket "$sock" \
		--interface "$if_g" --network6 none --endpoint 192.0.2.1 --ready-fd 9 9>"$work/ready"
	gateway=$spawned
	wait_for 20 ready_or_dead && [ -s "$work/ready" ]
}
engine_find() { engine=$(pgrep -P "$gateway") && [ -n "$engine" ]; }
q() { qanat --socket "$sock" --json "$@"; }
reaches() { ns C ping -c 1 -W 1 10.8.0.1; }
another_engine() { engine_find && [ "$engine" != "$before" ] && q core server_status >/dev/null; }
dead() { ! kill -0 "$1" 2>/dev/null; }
no_interface() { ! ip -n "q${id}G" link show "$if_g"; }

check "starts" gateway_start
check "there is an engine" engine_find
check_eq "it is the same program" "$(readlink /proc/"$gateway"/exe)" "$(readlink /proc/"$engine"/exe)"

# ---- rights, as /proc has them ----

status() { awk -v k="$2:" '$1 == k { print $2 }' "$1"; }
for t in /proc/"$engine"/task/*; do
	n=$(basename "$t")
	[ "$n" = "$engine" ] && n=main || n="thread $((n - engine))"
	for set in CapInh CapPrm CapEff CapAmb CapBnd; do
		check_eq "$n: $set is empty" 0000000000000000 "$(status "$t/status" $set)"
	done
	check_eq "$n: gains no privileges" 1 "$(status "$t/status" NoNewPrivs)"
	if [ -n "$(status /proc/self/status Seccomp)" ]; then
		check_eq "$n: system calls are filtered" 2 "$(status "$t/status" Seccomp)"
	else
		skip "$n: system calls are filtered" "this kernel has no seccomp"
	fi
done
check_eq "threads: main, control, workers" $((2 + workers)) "$(ls /proc/"$engine"/task | wc -l)"
limit_of() { awk -v n="$1" 'index($0, n) == 1 { sub(n, ""); print $1 "/" $2 }' /proc/"$engine"/limits; }
check_eq "no core dumps" 0/0 "$(limit_of "Max core file size")"
check_eq "no locked memory" 0/0 "$(limit_of "Max locked memory")"

# ---- descriptors ----

for fd in /proc/"$engine"/fd/*; do
	case $(basename "$fd") in 0 | 1 | 2) ;; *) readlink "$fd" ;; esac
done | sed 's/socket:.*/socket/' | sort | uniq -c | awk '{ print $2 "=" $1 }' >"$work/fds"
check_eq "one TUN queue a worker" "/dev/net/tun=$workers" "$(grep tun "$work/fds")"
# Two UDP sockets a worker, netlink for the link and for routes, the keeper, the gateway, and the listener.
check_eq "sockets" "socket=$((2 * workers + 5))" "$(grep socket "$work/fds")"
check_eq "nothing else is open" "" "$(grep -vE '^(/dev/net/tun|socket|anon_inode:(\[eventfd\]|\[eventpoll\]|inotify))=' "$work/fds")"

# ---- what is forbidden fails: the engine tries it before it is ready ----

if [ -n "$(status /proc/self/status Seccomp)" ]; then
	check_has "a file, a socket, a program, a signal: each was refused" "$(cat "$work/gateway.log")" \
		"engine.confined pid=$engine seccomp=1"
else
	skip "a file, a socket, a program, a signal: each was refused" "this kernel has no seccomp"
fi

# ---- and it works ----

check "adds a client" q core add_client client_name=laptop
q core export_client client_name=laptop | jq -r .data.config | grep -vE '^(Address|DNS|MTU) ' >"$work/laptop.conf"
dev=qC$id
ns_spawn C wgd.log qanat-wg -f "$dev"
check "the client's device is there" wait_for 10 ip -n "q${id}C" link show "$dev"
check "the client is configured" ns C wg setconf "$dev" "$work/laptop.conf"
ip -n "q${id}C" addr add 10.8.0.2/24 dev "$dev" && ip -n "q${id}C" link set "$dev" up
check "packets pass" wait_for 10 reaches
check_eq "the client is counted" true "$(q core list_clients | jq '.data.clients[0] | tostring | test("laptop")')"
check_has "drops are counted by reason" "$(q peer why laptop)" '"drops"'
check "limits are set" q core set_client_limits client_name=laptop rate_up=50M
check_has "limits are there" "$(q core client_limits client_name=laptop)" '50000000|50M'

# ---- sockets are the keeper's to open and mark ----

port=$(ns G wg show "$if_g" listen-port)
check "wg moves the port" ns G wg set "$if_g" listen-port $((port + 1))
check_eq "it has moved" $((port + 1)) "$(ns G wg show "$if_g" listen-port)"
check_eq "the old port is free" "" "$(ns G ss -Hulne "sport = :$port")"
check "and back" ns G wg set "$if_g" listen-port "$port"
check "wg sets a mark" ns G wg set "$if_g" fwmark 0x77
check_eq "each socket has it" $((2 * workers)) "$(ns G ss -Hulne "sport = :$port" | grep -c 'fwmark:0x77')"
check "wg takes it off" ns G wg set "$if_g" fwmark off
ns_spawn G socat.log socat -u UDP4-RECV:$((port + 7)) /dev/null
busy=$spawned
wait_for 5 sh -c "ip netns exec q${id}G ss -Hulne 'sport = :$((port + 7))' | grep -q ."
ns G wg set "$if_g" listen-port $((port + 7)) >"$work/busy" 2>&1
check_eq "a port in use is refused" "$port" "$(ns G wg show "$if_g" listen-port)"
kill $busy
check "packets still pass" wait_for 10 reaches

# ---- ends ----

kill -TERM "$engine"
kill -INT "$engine"
check "a signal for all processes leaves the engine alone" reaches
before=$engine
kill -KILL "$engine"
check "a dead engine is started again" wait_for 20 another_engine
check "packets pass again" wait_for 30 reaches
before=$engine
ip -n "q${id}G" link del "$if_g"
check "a deleted interface is made again" wait_for 20 another_engine
check "packets pass once more" wait_for 30 reaches
before=$engine
kill -USR2 "$gateway"
check "a restart in place brings a new engine" wait_for 20 another_engine
check "the old one is gone" dead "$before"
check "packets pass after the restart" wait_for 30 reaches
kill -KILL "$gateway"
check "the engine ends with a gateway that is killed" wait_for 10 dead "$engine"
check "and the interface with it" wait_for 5 no_interface
wait "$gateway" 2>/dev/null
check "starts after that" gateway_start
engine_find
stop "$gateway"
check_eq "stops cleanly" 0 "$stopped"
check "the engine is gone" dead "$engine"
check "the interface is gone" no_interface
check "the socket file is gone" test ! -e "/run/wireguard/$if_g.sock"
