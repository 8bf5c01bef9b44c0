#!/bin/bash
# dataplane.sh - the packet path between two ends of our own: every switch, odd sizes, and changes under traffic.
#
#     host A                              host B
#     10.77.0.1  eth0 ------------- eth0  10.77.0.2       fd77::1, fd77::2
#     10.78.0.1  wg0  ============= wg0   10.78.0.2       fd78::1, fd78::2
#
# BULK: bytes of each transfer (default 20000000).  COMBOS: which combinations of switches (0..7, all, none).
. "$(dirname "$0")/lib.sh"
need wg ip ping python3 nsenter nft
bulk=${BULK:-20000000}
if_a=qa$id if_b=qb$id
wrap= # goes before the program under test

# ---- two hosts ----
for n in A B; do ns_add $n || exit 1; done
link_add A eth0 B eth0 || exit 1
addr_add A eth0 10.77.0.1/24 fd77::1/64
addr_add B eth0 10.77.0.2/24 fd77::2/64
for k in a b; do wg genkey >"$work/$k.key" 2>/dev/null; wg pubkey <"$work/$k.key" >"$work/$k.pub"; done

# switches BITS: the options that turn off what is not in BITS (1 TUN, 2 GSO, 4 GRO)
switches() {
	local out=""
	[ $(($1 & 1)) = 0 ] && out="$out --no-tun-offload"
	[ $(($1 & 2)) = 0 ] && out="$out --no-udp-gso"
	[ $(($1 & 4)) = 0 ] && out="$out --no-udp-gro"
	echo "$out"
}

# tunnel OPTIONS_A OPTIONS_B [ENDPOINT_B]: both ends up, with a server on B.
tunnel() {
	ns_spawn A a.log $wrap qanat-wg -f $1 "$if_a" && daemon_a=$spawned
	ns_spawn B b.log $wrap qanat-wg -f $2 "$if_b" && daemon_b=$spawned
	wait_for 20 test -S "/var/run/wireguard/$if_a.sock" && wait_for 20 test -S "/var/run/wireguard/$if_b.sock" || return 1
	ns A wg set "$if_a" private-key "$work/a.key" listen-port 5001 peer "$(cat "$work/b.pub")" \
		endpoint "${3:-10.77.0.2:5002}" allowed-ips 10.78.0.2/32,fd78::2/128 || return 1
	ns B wg set "$if_b" private-key "$work/b.key" listen-port 5002 peer "$(cat "$work/a.pub")" \
		allowed-ips 10.78.0.1/32,fd78::1/128 || return 1
	ip -n "q${id}A" link set "$if_a" name wg0 2>/dev/null # a name of its own matters only for the socket
	ip -n "q${id}B" link set "$if_b" name wg0
	addr_add A wg0 10.78.0.1/24 fd78::1/64 && addr_add B wg0 10.78.0.2/24 fd78::2/64 || return 1
	ip -n "q${id}A" link set wg0 up && ip -n "q${id}B" link set wg0 up || return 1
	ns_spawn B serve4.log python3 "$top/tests/e2e/bulk.py" serve 10.78.0.2 7000 && server4=$spawned
	ns_spawn B serve6.log python3 "$top/tests/e2e/bulk.py" serve fd78::2 7000 && server6=$spawned
	wait_for 10 grep -q ready "$work/serve4.log" && wait_for 10 grep -q ready "$work/serve6.log"
}

# Both must end by themselves with status 0: a sanitizer's finding would show here.
tunnel_down() {
	stop "$server4"
	stop "$server6"
	stop "$daemon_a"
	check_eq "$1: end A stops clean" 0 "$stopped"
	[ "$stopped" = 0 ] || cat "$work/a.log"
	stop "$daemon_b"
	check_eq "$1: end B stops clean" 0 "$stopped"
	[ "$stopped" = 0 ] || cat "$work/b.log"
}

bulk() { ns A python3 "$top/tests/e2e/bulk.py" "$1" "$2" 7000 "${@:3}"; }

# Packets made to break coalescing, from A to B: each arrives as it was, in its flow's order.  B says nothing to them: a
# reset that comes back by another worker of A would move the flow to that one's queue, in the middle of its burst.
crafted_count=$(python3 "$top/tests/e2e/crafted.py" count)
crafted() {
	ns_spawn B capture.log python3 "$top/tests/e2e/crafted.py" capture wg0 "$work/arrived" "$crafted_count" && capture=$spawned
	wait_for 10 grep -q ready "$work/capture.log" || return 1
	ns B nft 'add table inet silent; add chain inet silent out { type filter hook output priority 0; };
		add rule inet silent out oifname wg0 drop' || return 1
	ns A python3 "$top/tests/e2e/crafted.py" send wg0 "$work/sent" "$daemon_a" || return 1
	wait "$capture"
	ns B nft delete table inet silent || return 1
	cat "$work/capture.log"
	python3 "$top/tests/e2e/crafted.py" compare "$work/sent" "$work/arrived" "$@"
}

# ---- every combination of switches, one and two workers ----
for c in ${COMBOS-0 1 2 3 4 5 6 7 all none}; do
	case $c in
	all) a=7 b=7 ;;
	none) a=0 b=0 ;;
	*) a=$c b=$((7 - c)) ;;
	esac
	w=$((1 + (a & 1)))
	name="switches $a/$b, workers $w/$((3 - w))"
	if ! tunnel "$(switches $a) --workers $w" "$(switches $b) --workers $((3 - w))"; then
		not_ok "$name: starts" "$(cat "$work/a.log" "$work/b.log")"
		continue
	fi
	check "$name: ping" ns A ping -q -c 3 -i 0.2 -W 5 10.78.0.2
	check "$name: ping IPv6" ns A ping -6 -q -c 3 -i 0.2 -W 5 fd78::2
	check "$name: to B" bulk put 10.78.0.2 "$bulk"
	check "$name: from B" bulk get 10.78.0.2 "$bulk"
	check "$name: to B, IPv6" bulk put fd78::2 "$bulk"
	check "$name: from B, IPv6" bulk get fd78::2 "$bulk"
	check "$name: datagrams" bulk echo 10.78.0.2 0 1 15 16 17 1391 1392 1393 1420 5000 65000
	check "$name: datagrams, IPv6" bulk echo fd78::2 0 1 1372 1373 5000
	check "$name: $crafted_count crafted packets" crafted $([ $w = 1 ] || echo apart)
	joined=$(sed -n 's/.* joined //p' "$work/capture.log")
	if [ $((b & 1)) = 0 ]; then check_eq "$name: nothing is joined" 0 "$joined"; else
		check "$name: $joined writes joined some of them" [ "$joined" -gt 50 ]
	fi
	tunnel_down "$name"
done

# ---- steady traffic allocates nothing ----
# A preloaded counter; not together with a sanitizer, which has an allocator of its own.
if ! type -P cc >/dev/null || ! cc -shared -fPIC -O1 -o "$work/malloc_count.so" "$top/tests/e2e/malloc_count.c" 2>"$work/cc.log"; then
	skip "steady traffic allocates nothing" "no C compiler here: $(head -c 200 "$work/cc.log" 2>/dev/null)"
elif grep -qa -e __asan_init -e __tsan_init "$(type -P qanat-wg)"; then
	skip "steady traffic allocates nothing" "this build has a sanitizer's allocator"
else
	head -c 8 /dev/zero >"$work/allocations"
	allocations() { od -An -t u8 "$work/allocations" | tr -d ' '; }
	export LD_PRELOAD=$work/malloc_count.so QANAT_MALLOC_COUNT=$work/allocations
	ns_spawn A probe.log sh -c : # the counter counts at all
	wait "$spawned"
	unset LD_PRELOAD
	if [ "$(allocations)" = 0 ]; then not_ok "the counter of allocations counts" "it stayed 0"; else ok "the counter of allocations counts"; fi
	wrap="env LD_PRELOAD=$work/malloc_count.so QANAT_MALLOC_COUNT=$work/allocations"
	if tunnel "--workers 2" "--workers 2"; then
		check "steady: ping" ns A ping -q -c 2 -i 0.2 -W 5 10.78.0.2
		check "steady: warm" bulk put 10.78.0.2 "$bulk"
		check "steady: warm back" bulk get 10.78.0.2 "$bulk"
		# The first packet through each worker makes its contexts, and a handshake may fall into a round: of a
		# few rounds of some ten thousand packets each, one must pass without a single call.
		for round in 1 2 3 4 5; do
			before=$(allocations)
			for way in put get; do check "steady: $way, round $round" bulk $way 10.78.0.2 $((bulk * 2)); done
			check "steady: small packets, round $round" ns A ping -q -f -c 2000 10.78.0.2
			grown=$(($(allocations) - before))
			[ "$grown" = 0 ] && break
		done
		check_eq "steady traffic allocates nothing" 0 "$grown"
		tunnel_down "steady"
	else
		not_ok "steady: starts" "$(cat "$work/a.log" "$work/b.log")"
	fi
	wrap=
fi

# ---- sizes ----
if tunnel "" "" "[fd77::2]:5002"; then
	check "outside IPv6: ping" ns A ping -q -c 2 -i 0.2 -W 5 10.78.0.2
	check "outside IPv6: to B" bulk put 10.78.0.2 "$bulk"
	check_has "outside IPv6: endpoint" "$(ns B wg show "$if_b" endpoints)" '\[fd77::1\]:5001'
	# The smallest last: the kernel remembers its segment size for the other host.
	# 45 sealed segments of 1452 bytes fit a UDP message: longer super-packets would cost two messages.
	check_has "super-packets fit one message" "$(ip -d -n "q${id}A" link show wg0)" 'gso_max_size 62420'
	for mtu in 65535 9000 1500 1421 1281 1280 1279 576 68; do
		ip -n "q${id}A" link set wg0 mtu $mtu && ip -n "q${id}B" link set wg0 mtu $mtu
		size=$((bulk / 2))
		[ $mtu -lt 576 ] && size=20000
		check "inner MTU $mtu: to B" bulk put 10.78.0.2 "$size"
		check "inner MTU $mtu: from B" bulk get 10.78.0.2 "$size"
	done
	ip -n "q${id}A" link set wg0 mtu 1420 && ip -n "q${id}B" link set wg0 mtu 1420
	ns A ip tcp_metrics flush >/dev/null 2>&1
	ns B ip tcp_metrics flush >/dev/null 2>&1
	ip -n "q${id}A" link set eth0 mtu 1300 && ip -n "q${id}B" link set eth0 mtu 1300
	check "outer path narrower than the tunnel: to B" bulk put 10.78.0.2 "$bulk"
	check "outer path narrower than the tunnel: from B" bulk get 10.78.0.2 "$bulk"
	ip -n "q${id}A" link set eth0 mtu 1500 && ip -n "q${id}B" link set eth0 mtu 1500
	tunnel_down "sizes"
else
	not_ok "sizes: starts" "$(cat "$work/a.log" "$work/b.log")"
fi

# ---- a device that cannot help with segmentation ----
if type -P ethtool >/dev/null; then
	ns A ethtool -K eth0 tx off sg off tso off gso off tx-udp-segmentation off >/dev/null 2>&1
	ns B ethtool -K eth0 gro off >/dev/null 2>&1
	if tunnel "" ""; then
		check "device without checksum offload: to B" bulk put 10.78.0.2 "$bulk"
		check "device without checksum offload: from B" bulk get 10.78.0.2 "$bulk"
		tunnel_down "device without checksum offload"
	fi
	ns A ethtool -K eth0 tx on sg on tso on gso on tx-udp-segmentation on >/dev/null 2>&1
	ns B ethtool -K eth0 gro on >/dev/null 2>&1
else
	skip "device without checksum offload" "no program ethtool"
fi

# ---- loss and disorder outside ----
if type -P tc >/dev/null && ns A tc qdisc add dev eth0 root netem delay 1ms reorder 75% 50% loss 0.5% 2>/dev/null; then
	ns B tc qdisc add dev eth0 root netem duplicate 5% loss 0.5%
	if tunnel "--workers 2" "--workers 2"; then
		check "loss and disorder: to B" bulk put 10.78.0.2 $((bulk / 10))
		check "loss and disorder: from B" bulk get 10.78.0.2 $((bulk / 10))
		tunnel_down "loss and disorder"
	fi
	ns A tc qdisc del dev eth0 root
	ns B tc qdisc del dev eth0 root
else
	skip "loss and disorder" "no tc, or no netem in this kernel"
fi

# ---- changes under traffic ----
# traffic WAY: transfers one after the other until traffic_end, which tells whether all were whole.
traffic() {
	rm -f "$work/enough"
	(until [ -e "$work/enough" ]; do bulk "$1" 10.78.0.2 $((bulk * 2)) >"$work/during.log" 2>&1 || exit 1; done) &
	during=$!
}
traffic_end() { touch "$work/enough"; wait "$during" || { cat "$work/during.log"; return 1; }; }

if tunnel "--workers 2" "--workers 2"; then
	check "changes: ping" ns A ping -q -c 1 -W 5 10.78.0.2
	# each of several workers has a processor of its own
	pinned() { grep -h Cpus_allowed_list "/proc/$daemon_a/task/"*/status | awk '$2 ~ /^[0-9]+$/ {print $2}' | sort -u | wc -l; }
	if [ "$(nproc)" -ge 2 ]; then check_eq "workers are pinned" 2 "$(pinned)"; else skip "workers are pinned" "one processor"; fi
	# what a stranger may send: runs of one-byte datagrams, the largest ones, every type, odd tails
	ns B python3 -c 'import os,random,socket
u=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); u.bind(("10.77.0.2",0))
rng=random.Random(1)
for i in range(3000):
    size=rng.choice([1,31,32,33,64,92,148,149,1000,1452])
    n=rng.choice([1,2,7,64])*size
    n=min(n+rng.choice([0,0,1]),65000)
    u.setsockopt(17,103,size if 1 < (n+size-1)//size <= 64 else 0)
    d=bytearray(rng.randbytes(n))
    for at in range(0,n,size): d[at:at+4]=bytes([rng.randrange(6),0,0,0])[:n-at]
    u.sendto(d,("10.77.0.1",5001))
u.setsockopt(17,103,0)
for i in range(50): u.sendto(b"\x04\0\0\0"+os.urandom(65503),("10.77.0.1",5001)); u.sendto(b"",("10.77.0.1",5001))' ||
		not_ok "hostile datagrams are sent" "see above"
	check "alive after hostile datagrams" ns A ping -q -c 3 -i 0.2 -W 5 10.78.0.2
	traffic put
	for port in 6001 6002 0 6003; do
		sleep 0.2
		check "listen port to $port under traffic" ns A wg set "$if_a" listen-port $port
	done
	check_eq "listen port is the new one" 6003 "$(ns A wg show "$if_a" listen-port)"
	check "fwmark under traffic" ns A wg set "$if_a" fwmark 0x77
	check_eq "fwmark is shown" 0x77 "$(ns A wg show "$if_a" fwmark)"
	check "fwmark off" ns A wg set "$if_a" fwmark off
	check "the transfers outlive the changes" traffic_end
	ns A sh -c 'echo 1 >/proc/sys/net/ipv4/conf/all/promote_secondaries'
	traffic get
	for i in 1 2 3; do
		sleep 0.2
		addr_add A eth0 10.77.0.$((10 + i))/24
		ip -n "q${id}A" addr del 10.77.0.$((i == 1 ? 1 : 9 + i))/24 dev eth0
	done
	check "the transfers outlive new addresses" traffic_end
	ns A ping -q -c 3 -i 0.2 -W 5 10.78.0.2 >/dev/null
	check_has "B follows the address" "$(ns B wg show "$if_b" endpoints)" '10\.77\.0\.13:6003'
	ip -n "q${id}A" addr flush dev eth0 scope global
	addr_add A eth0 10.77.0.1/24 fd77::1/64

	ns_spawn A holder.log python3 -c 'import socket,time
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEPORT,1); s.bind(("0.0.0.0",6009)); print("ready",flush=True); time.sleep(1000)'
	holder=$spawned
	wait_for 10 grep -q ready "$work/holder.log"
	said=$(ns A wg set "$if_a" listen-port 6009 2>&1)
	check_has "a port in use is refused" "$said" 'in use'
	check_eq "and the old one stays" 6003 "$(ns A wg show "$if_a" listen-port)"
	stop "$holder"
	check "ping after all that" ns A ping -q -c 5 -i 0.3 -W 5 10.78.0.2

	ip -n "q${id}A" link set wg0 down
	wait_for 5 sh -c "! ip netns exec q${id}A ss -lun | grep -q :6003" && ok "down closes the sockets" || not_ok "down closes the sockets"
	ip -n "q${id}A" link set wg0 up
	addr_add A wg0 fd78::1/64
	check "up again: ping" ns A ping -q -c 1 -W 10 10.78.0.2
	check_eq "with the same port" 6003 "$(ns A wg show "$if_a" listen-port)"

	# no peer, and a peer without endpoint: the sender is told at once
	said=$(ns A ping -c 1 -W 2 10.78.0.99 2>&1)
	check_has "no peer: host unreachable" "$said" 'Destination Host Unreachable'
	ns A wg set "$if_a" peer "$(wg genkey | wg pubkey)" allowed-ips 10.78.0.50/32,fd78::50/128
	said=$(ns A ping -c 1 -W 2 10.78.0.50 2>&1)
	check_has "no endpoint: unreachable" "$said" 'Unreachable|unreachable|required'
	said=$(ns A ping -6 -c 1 -W 2 fd78::50 2>&1)
	check_has "no endpoint, IPv6: unreachable" "$said" 'Unreachable|unreachable'

	# the interface moves away, the sockets stay
	ns_add M
	ip -n "q${id}A" link set wg0 netns "q${id}M" && addr_add M wg0 10.78.0.1/24 fd78::1/64
	ip -n "q${id}M" link set wg0 up
	check "moved to another namespace: ping" ns M ping -q -c 2 -W 10 10.78.0.2
	check "moved to another namespace: bulk" ns M python3 "$top/tests/e2e/bulk.py" put 10.78.0.2 7000 "$bulk"
	ip -n "q${id}M" link set wg0 down
	wait_for 5 sh -c "! ip netns exec q${id}A ss -lun | grep -q :6003" && ok "moved: down is seen" || not_ok "moved: down is seen"
	ip -n "q${id}M" link set wg0 up
	check "moved: up is seen" ns M ping -q -c 1 -W 10 10.78.0.2
	# a second move goes where no report reaches; it is looked at instead
	ns_add N
	ip -n "q${id}M" link set wg0 netns "q${id}N" && addr_add N wg0 10.78.0.1/24 fd78::1/64
	ip -n "q${id}N" link set wg0 up
	check "moved twice: ping" ns N ping -q -c 5 -i 0.5 -W 10 10.78.0.2
	ip -n "q${id}N" link set wg0 down
	wait_for 10 sh -c "! ip netns exec q${id}A ss -lun | grep -q :6003" && ok "moved twice: down is seen" || not_ok "moved twice: down is seen"
	ip -n "q${id}N" link set wg0 up
	check "moved twice: up is seen" ns N ping -q -c 5 -i 0.5 -W 10 10.78.0.2
	ip -n "q${id}N" link del wg0
	wait_for 10 gone "$daemon_a" && ok "deleted: the daemon ends" || not_ok "deleted: the daemon ends" "still running"
	wait "$daemon_a" 2>/dev/null
	check_eq "deleted: with status 0" 0 $?
	ip -n "q${id}B" link del wg0
	wait_for 10 gone "$daemon_b" && ok "deleted: the daemon of B ends" || not_ok "deleted: the daemon of B ends" "still running"
	stop "$server4"
	stop "$server6"
else
	not_ok "changes: starts" "$(cat "$work/a.log" "$work/b.log")"
fi
