#!/bin/bash
# processes.sh - the processes of a gateway: what each may do, as the kernel shows it, and that it works so.
#
#    client host C                  gateway host G
#    192.0.2.2/24  ---------------  192.0.2.1/24
#    10.8.0.2      ===============  10.8.0.1        qanat-wg and qanat-gateway
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
	ns_spawn G gateway.log qanat-gateway --workers $workers --state "$state" --socket "$sock" \
		--interface "$if_g" --network6 none --endpoint 192.0.2.1 --ready-fd 9 9>"$work/ready"
	gateway=$spawned
	wait_for 20 ready_or_dead && [ -s "$work/ready" ]
}
engine_find() { engine=$(pgrep -P "$gateway" -f -- --as-device) && [ -n "$engine" ]; }
control_find() { control=$(pgrep -P "$gateway" -f -- --as-control) && [ -n "$control" ]; }
q() { qanat --socket "$sock" --json "$@"; }
reaches() { ns C ping -c 1 -W 1 10.8.0.1; }
another_engine() { engine_find && [ "$engine" != "$before" ] && q core server_status >/dev/null; }
dead() { ! kill -0 "$1" 2>/dev/null; }
no_interface() { ! ip -n "q${id}G" link show "$if_g"; }

check "starts" gateway_start
check "there is an engine" engine_find
check "there is a control process" control_find
for p in "$engine" "$control"; do
	check_eq "it is the same program" "$(readlink /proc/"$gateway"/exe)" "$(readlink /proc/"$p"/exe)"
done
check_eq "there is nothing else" "$(printf '%s\n' "$control" "$engine" | sort)" "$(pgrep -P "$gateway" | sort)"

# ---- rights, as /proc has them ----

status() { awk -v k="$2:" '$1 == k { print $2 }' "$1"; }
limit_of() { awk -v n="$2" 'index($0, n) == 1 { sub(n, ""); print $1 "/" $2 }' /proc/"$1"/limits; }
confined() { # confined NAME PID [SETS]: no capability, system calls filtered, in each of its threads
	local t n set
	for t in /proc/"$2"/task/*; do
		n=$(basename "$t")
		[ "$n" = "$2" ] && n="$1: main" || n="$1: thread $((n - $2))"
		for set in ${3:-CapInh CapPrm CapEff CapAmb CapBnd}; do
			check_eq "$n: $set is empty" 0000000000000000 "$(status "$t/status" $set)"
		done
		check_eq "$n: gains no privileges" 1 "$(status "$t/status" NoNewPrivs)"
		if [ -n "$(status /proc/self/status Seccomp)" ]; then
			check_eq "$n: system calls are filtered" 2 "$(status "$t/status" Seccomp)"
		else
			skip "$n: system calls are filtered" "this kernel has no seccomp"
		fi
	done
	check_eq "$1: no core dumps" 0/0 "$(limit_of "$2" "Max core file size")"
	check_eq "$1: no locked memory" 0/0 "$(limit_of "$2" "Max locked memory")"
}
confined engine "$engine"
confined control "$control"
check_eq "engine, threads: main, control, workers" $((2 + workers)) "$(ls /proc/"$engine"/task | wc -l)"
check_eq "control has one thread" 1 "$(ls /proc/"$control"/task | wc -l)"
check_eq "the helper has one thread" 1 "$(ls /proc/"$gateway"/task | wc -l)"
user=$(id -u qanat 2>/dev/null)
if [ -n "$user" ]; then
	check_eq "control is nobody's root" "$user $user $user $user" \
		"$(awk '$1 == "Uid:" { print $2, $3, $4, $5 }' /proc/"$control"/status)"
	check_eq "nor in a group of root's" "" "$(awk '$1 == "Groups:" { $1 = ""; print $0 }' /proc/"$control"/status | tr -d ' ')"
	check_eq "its state is its own" "$user 700" "$(stat -c '%u %a' "$state")"
	check_eq "but what root will put back is root's" "0 600" "$(stat -c '%u %a' "$state/net.journal")"
else
	skip "control is nobody's root" "there is no user qanat"
fi

# ---- descriptors ----

fds_of() { # fds_of PID: kinds and how many
	local fd
	for fd in /proc/"$1"/fd/*; do
		case $(basename "$fd") in 0 | 1 | 2) ;; *) readlink "$fd" ;; esac
	done | sed 's/socket:.*/socket/' | sort | uniq -c | awk '{ print $2 "=" $1 }'
}
fds_of "$engine" >"$work/fds"
check_eq "engine: one TUN queue a worker" "/dev/net/tun=$workers" "$(grep tun "$work/fds")"
# Two UDP sockets a worker, netlink for the link and for routes, the keeper, the log, control, and the listener.
check_eq "engine: sockets" "socket=$((2 * workers + 6))" "$(grep socket "$work/fds")"
check_eq "engine: nothing else is open" "" \
	"$(grep -vE '^(/dev/net/tun|socket|anon_inode:(\[eventfd\]|\[eventpoll\]|inotify))=' "$work/fds")"
fds_of "$control" >"$work/fds"
check_eq "control: files of its state alone" "" \
	"$(grep -vE "^($state/(gateway\.db(-wal|-shm)?|store\.lock)|socket|anon_inode:(\[eventpoll\]|\[timerfd\]|\[eventfd\]))=" "$work/fds")"
check_eq "control: no TUN" "" "$(grep tun "$work/fds")"

# ---- what is forbidden fails: each tries it before it is ready ----

if [ -n "$(status /proc/self/status Seccomp)" ]; then
	check_has "engine: a file, a socket, a program, a signal: each was refused" "$(cat "$work/gateway.log")" \
		"engine.confined pid=$engine seccomp=1"
	check_has "control: a program, a file of the host: each was refused" "$(cat "$work/gateway.log")" \
		"control.confined pid=$control uid=[0-9]+ seccomp=1"
else
	skip "what is forbidden was refused" "this kernel has no seccomp"
fi
check_has "service_logs tells of all three" "$(q core service_logs lines=100 | jq -r '.data.logs[]')" "engine.confined pid=$engine"
check_eq "it reads what it may" true "$(q core server_status | jq .success)"
mkdir "$work/host" && printf '[Interface]\nPrivateKey = x\n' >"$work/host/passwd"
check_has "an import reads no other file" "$(q core import_installation path="$work/host/passwd" | jq -r .error)" 'import reads'

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
wait_for 5 port_held G $((port + 7))
ns G wg set "$if_g" listen-port $((port + 7)) >"$work/busy" 2>&1
check_eq "a port in use is refused" "$port" "$(ns G wg show "$if_g" listen-port)"
kill $busy
check "packets still pass" wait_for 10 reaches

# ---- the state is not taken from under it ----

check "cleaning up beside it is refused" eval '! ns G qanat-gateway --clean-up --state "$state" --socket "$sock" --interface "$if_g"'
[ -z "$user" ] || check_eq "and its state is its own still" "$user $user" "$(stat -c %u "$state" "$state/key" | xargs)"
check "and it goes on" q core add_client client_name=tablet

# ---- ends ----

for s in TERM INT HUP; do kill -$s "$engine" "$control"; done
check "a signal for all processes leaves engine and control alone" reaches
check "both go on" q core server_status
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
control_find
kill -KILL "$control"
check "a gateway whose control process is killed ends" wait_for 10 dead "$gateway"
wait "$gateway"
check_eq "as one that failed" 1 $?
check "its engine ends with it" wait_for 10 dead "$engine"
check "what it did to the host is left for the next start" ns G nft list table inet "qanat_$if_g"
check "which goes on from there" gateway_start
check "packets pass after that" wait_for 30 reaches
engine_find
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

# ---- somebody's file in its state, and a directory with other things in it ----

if [ -n "$user" ]; then
	touch "$state/notes"
	check "starts although there is a file of somebody's" gateway_start
	control_find
	check_eq "control is its user all the same" "$user" "$(awk '$1 == "Uid:" { print $2 }' /proc/"$control"/status)"
	stop "$gateway"
	rm "$state/notes"
fi

if [ -n "$user" ]; then
	mkdir "$work/others" && touch "$work/others/mine" && chown 65534 "$work/others/mine"
	before=$(stat -c '%n %u %g %a' "$work/others" "$work/others/mine")
	kept=$state state=$work/others
	check "starts beside other things" gateway_start
	check_has "and says what that means" "$(cat "$work/gateway.log")" "gateway.keeps_root .*other things"
	control_find
	confined "control, under root's name" "$control"
	check_eq "nobody else's is given away" "$before" "$(stat -c '%n %u %g %a' "$work/others" "$work/others/mine")"
	stop "$gateway"
	check_eq "stops cleanly there, too" 0 "$stopped"
	state=$kept
fi

# ---- as the unit starts it: not root, one capability ----

if [ -n "$user" ] && type -P setpriv >/dev/null; then
	rm -f "$work/ready"
	mkdir -p "$work/run" && chown -R qanat:qanat "$state" "$work/run"
	install -d -o qanat /var/run/wireguard # as RuntimeDirectory does
	# The device as udev makes it, for everybody; a machine without udev has it for root alone.
	mknod -m 666 "$work/tun" c 10 200
	ns_spawn G unit.log unshare -m sh -c "mount --bind '$work/tun' /dev/net/tun && exec \"\$@\"" sh setpriv --reuid qanat --regid qanat --clear-groups --inh-caps -all,+net_admin --ambient-caps -all,+net_admin \
		--bounding-set -all,+net_admin qanat-gateway --workers $workers --state "$state" --socket "$sock" --interface "$if_g" \
		--network6 none --endpoint 192.0.2.1 --ready-fd 9 9>"$work/ready"
	gateway=$spawned
	check "starts with one capability" eval 'wait_for 20 ready_or_dead && [ -s "$work/ready" ]'
	check "its helper has that alone" test "$(status /proc/"$gateway"/status CapEff)" = 0000000000001000
	engine_find && control_find
	# The bounding set is for the privileged to shrink; with no new privileges nothing in it can be gained.
	confined "control, as the unit has it" "$control" "CapInh CapPrm CapEff CapAmb"
	confined "engine, as the unit has it" "$engine" "CapInh CapPrm CapEff CapAmb"
	check "packets pass, as the unit has it" wait_for 30 reaches
	kill -USR2 "$gateway"
	before=$engine
	check "a restart in place, as the unit has it" wait_for 20 another_engine
	stop "$gateway"
	check_eq "stops cleanly, as the unit has it" 0 "$stopped"
	check "and leaves no interface" no_interface
	chown 0:0 /var/run/wireguard
else
	skip "as the unit starts it" "there is no user qanat, or no setpriv"
fi
