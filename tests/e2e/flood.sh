#!/bin/bash
# flood.sh - hostile datagrams from spoofed sources: an established flow does not feel them, a new client gets in, memory
# does not grow.
#
#   honest host H                     server host S                       attacker X
#   10.77.0.1 eth0 ------------- toH  10.77.0.2   10.77.1.2  toX ------- eth0  10.77.1.1
#   10.78.0.1 wg0  ============= wg0  10.78.0.2                          198.18.0.0/15, 2001:db8:f::/64 (spoofed)
#   new host N                                                           fd77:1::1
#   10.77.2.1 eth0 ------------- toN  10.77.2.2   fd77:1::2  toX
#   10.78.0.3 wg0  =============
#
# H sends 2000 numbered probes a second through the tunnel and counts what does not come back.  While a flood runs, N makes
# a handshake from nothing.  What goes to spoofed addresses leaves by toX to a permanent neighbour and ends in a black hole:
# neither ARP nor a routing error tells the server that a source is not there.
#
# What the machine itself does is kept out of the verdict: the same flood to a closed port is the control, a flood is tried
# up to TRIES times, and the rate that was really sent is printed.  Under a sanitizer the rates are a tenth.
#
# FLOODS: which (default: all below); FLOOD_SECONDS of each (default 8); TRIES (default 3).
# FLOOD_SERVER: the server's program (default qanat-wg); FLOOD_TOOLS: directory of bench_flood and bench_udpping.
# FLOOD_FIGURES: a file that gets lines "FLOOD FIGURE VALUE" for tests/bench/run.
. "$(dirname "$0")/lib.sh"
need wg ip ping nsenter awk
server=${FLOOD_SERVER:-qanat-wg} tools=${FLOOD_TOOLS:-$QANAT_BIN/../tests/bench}
seconds=${FLOOD_SECONDS:-8} tries=${TRIES:-3}
if_s=qs$id if_h=qh$id if_n=qn$id port=5100
spoofed4=198.18.0.0/15 spoofed6=2001:db8:f::/64
loss_max=1.0 rss_max_kib=5120
# A new handshake under flood is a matter of which datagrams the host drops: within handshake_good_ms is the goal, and a flood is
# tried again for it; what decides is that it comes at all while it is waited for, however slow the machine.
handshake_good_ms=6000 handshake_max_ms=14000
for t in bench_flood bench_udpping; do
	[ -x "$tools/$t" ] || { not_ok "flood.sh" "no program $tools/$t: build it, or name its directory in FLOOD_TOOLS"; exit 1; }
done
slow=1
if grep -qa -e __asan_init -e __tsan_init "$(type -P "$server")"; then
	slow=10
	echo "# a sanitizer is in this build: a tenth of the rates, and its memory is not judged"
fi

# ---- four hosts ----
for n in S H N X; do ns_add $n || exit 1; done
link_add H eth0 S toH && link_add N eth0 S toN && link_add X eth0 S toX || exit 1
addr_add H eth0 10.77.0.1/24
addr_add S toH 10.77.0.2/24
addr_add N eth0 10.77.2.1/24
addr_add S toN 10.77.2.2/24
addr_add X eth0 10.77.1.1/24 fd77:1::1/64
addr_add S toX 10.77.1.2/24 fd77:1::2/64
mac() { ip -n "q$id$1" -br link show dev "$2" | awk '{ print $3 }'; }
ip -n "q${id}S" neigh replace 10.77.1.1 lladdr "$(mac X eth0)" dev toX nud permanent
ip -n "q${id}S" neigh replace fd77:1::1 lladdr "$(mac X eth0)" dev toX nud permanent
ip -n "q${id}S" route add $spoofed4 via 10.77.1.1 && ip -n "q${id}S" route add $spoofed6 via fd77:1::1
ip -n "q${id}X" route add blackhole $spoofed4 && ip -n "q${id}X" route add blackhole $spoofed6
ns S sh -c 'for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$f; done'

# ---- the server, a client with a session, one without ----
for k in s h n; do wg genkey >"$work/$k.key" 2>/dev/null; wg pubkey <"$work/$k.key" >"$work/$k.pub"; done
daemon_up() { # daemon_up HOST INTERFACE KEY PROGRAM ADDRESS PORT
	ns_spawn "$1" "$2.log" env WG_PROCESS_FOREGROUND=1 LOG_LEVEL=error "$4" -f "$2" || return 1
	wait_for 20 test -S "/var/run/wireguard/$2.sock" &&
		ns "$1" wg set "$2" private-key "$work/$3.key" listen-port "$6" &&
		addr_add "$1" "$2" "$5/24" && ip -n "q$id$1" link set "$2" mtu 1420 up
}
peer_of_server() { # peer_of_server HOST INTERFACE ADDRESS
	ns "$1" wg set "$2" peer "$(cat "$work/s.pub")" endpoint "$3:$port" allowed-ips 10.78.0.2/32
}
check "the server starts" daemon_up S "$if_s" s "$server" 10.78.0.2 $port
daemon_s=$spawned
check "client H starts" daemon_up H "$if_h" h qanat-wg 10.78.0.1 5101
daemon_h=$spawned
check "client N starts" daemon_up N "$if_n" n qanat-wg 10.78.0.3 5103
daemon_n=$spawned
ns S wg set "$if_s" peer "$(cat "$work/h.pub")" allowed-ips 10.78.0.1/32 peer "$(cat "$work/n.pub")" allowed-ips 10.78.0.3/32
peer_of_server H "$if_h" 10.77.0.2
check "H has a session" ns H ping -q -c 2 -i 0.2 -W 10 10.78.0.2
[ "$failed" = 0 ] || exit 1
ns_spawn S echo.log "$tools/bench_udpping" echo 10.78.0.2:9001
wait_for 10 grep -q ready "$work/echo.log" || { not_ok "the echo starts" "$(cat "$work/echo.log")"; exit 1; }

# ---- one flood ----
rss_kib() { awk '/^VmRSS/ { print $2 }' "/proc/$daemon_s/status"; }
cpu_ms() { awk -v hz="$(getconf CLK_TCK)" '{ sub(/^.*\) /, ""); print ($12 + $13) * 1000 / hz }' "/proc/$daemon_s/stat"; }
now_ms() { date +%s%3N; }
calc() { awk "BEGIN { printf \"%.${2:-2f}\", $1 }"; }
holds() { awk "BEGIN { exit !($1) }"; }
handshakes() { ns N wg show "$if_n" latest-handshakes | awk '{ print $2 }'; }

# attack MODE RATE SECONDS PORT: runs the generator; prints the rate that was sent, a second.
attack() {
	local mode=${1%-ipv6} to=10.77.1.2 from=$spoofed4 sent ns
	if [ "$mode" != "$1" ]; then to="[fd77:1::2]" from=$spoofed6; fi
	read -r sent ns < <(ns X "$tools/bench_flood" "$mode" --device eth0 --mac "$(mac S toX)" --from $from \
		--key "$(cat "$work/s.pub")" --pool "$work/pool" --rate "$2" --seconds "$3" "$to:$4" 2>"$work/attack.log") || return 1
	calc "$sent * 1e9 / $ns" 0f
}
# probes SECONDS: H's flow; sets sent lost p50 p99.
probes() {
	local rest
	read -r sent lost p50 rest p99 rest < <(ns H "$tools/bench_udpping" ping --count $(($1 * 2000)) --interval 500 10.78.0.2:9001)
}
# A handshake of N from nothing; prints its milliseconds, at most 15000.
handshake() {
	local begin end ping
	ns N wg set "$if_n" peer "$(cat "$work/s.pub")" remove
	peer_of_server N "$if_n" 10.77.2.2
	begin=$(now_ms) end=$(($(now_ms) + 15000))
	ip netns exec "q${id}N" ping -q -i 0.5 -w 15 10.78.0.2 >/dev/null 2>&1 &
	ping=$!
	while [ "$(handshakes)" = 0 ] && [ "$(now_ms)" -lt $end ]; do sleep 0.02; done
	end=$(now_ms)
	kill $ping 2>/dev/null
	wait $ping 2>/dev/null
	echo $((end - begin))
}
# Datagrams that the server's host got for its sockets so far, whether they were read or did not fit.
arrived() {
	awk '$1 == "Udp:" && $2 ~ /^[0-9]/ { n += $2 + $6 } $1 ~ /^Udp6(InDatagrams|RcvbufErrors)$/ { n += $2 }
		END { printf "%d\n", n }' "/proc/$daemon_s/net/snmp" "/proc/$daemon_s/net/snmp6"
}

# flood_once MODE RATE: sets rate loss p50 p99 grown cores shaken, control_loss and reached (%).
flood_once() {
	local c0 t0 rss0 arrived0 attacker newcomer
	attack "$1" "$2" 3 9 >"$work/rate" & # nobody listens on port 9
	attacker=$!
	probes 2
	wait $attacker || return 1
	control_loss=$(calc "100 * $lost / $sent")
	rss0=$(rss_kib) arrived0=$(arrived)
	attack "$1" "$2" "$seconds" $port >"$work/rate" &
	attacker=$!
	sleep 0.7 # it runs, and the server has noticed
	handshake >"$work/shaken" &
	newcomer=$!
	c0=$(cpu_ms) t0=$(now_ms)
	probes $((seconds - 2))
	cores=$(calc "($(cpu_ms) - $c0) / ($(now_ms) - $t0)")
	wait $attacker || return 1
	wait $newcomer
	rate=$(cat "$work/rate") shaken=$(cat "$work/shaken")
	# A probe of H's is two of the host's datagrams: sealed, and opened.
	reached=$(calc "100 * ($(arrived) - $arrived0 - 2 * ($sent - $lost)) / ($rate * $seconds)" 0f)
	loss=$(calc "100 * $lost / $sent") grown=$(($(rss_kib) - rss0))
	p50=$(calc "$p50 / 1e6") p99=$(calc "$p99 / 1e6")
}
good() {
	holds "$loss < $loss_max + $control_loss" && [ "$shaken" -le $handshake_good_ms ] &&
		{ [ "$slow" != 1 ] || [ "$grown" -lt $rss_max_kib ]; }
}
flood() { # flood MODE RATE
	local try wanted=$(($2 / slow)) figure
	for ((try = 1; try <= tries; try++)); do
		flood_once "$1" "$wanted" || { not_ok "flood $1" "the generator failed: $(cat "$work/attack.log")"; return; }
		echo "# flood $1: $rate of $wanted/s sent, $reached % reached the server; H lost $loss % (control $control_loss %), round trip $p50 ms, p99 $p99 ms;" \
			"N's handshake $shaken ms; server +$grown KiB, $cores cores"
		good && break
	done
	[ "$rate" -ge $((wanted * 95 / 100)) ] || echo "# flood $1: this machine sends no more than $rate of $wanted/s"
	check "flood $1: reaches the server" test "$reached" -ge 80
	check "flood $1: loss of the established flow under 1 %" holds "$loss < $loss_max + $control_loss"
	check "flood $1: a new handshake ($shaken ms; goal: 6000)" test "$shaken" -le $handshake_max_ms
	[ "$slow" != 1 ] || check "flood $1: memory grows by less than 5 MiB ($grown KiB)" test "$grown" -lt $rss_max_kib
	for figure in rate loss p50 p99 grown cores shaken; do
		[ -z "${FLOOD_FIGURES:-}" ] || echo "$1 $figure ${!figure}" >>"$FLOOD_FIGURES"
	done
}

# What a host on the path may repeat: data and a handshake of H.
ns_spawn S record.log "$tools/bench_flood" record --device toH --pool "$work/pool" --seconds 4 10.77.0.2:$port
recorder=$spawned
sleep 0.5
ns H wg set "$if_h" peer "$(cat "$work/s.pub")" remove
peer_of_server H "$if_h" 10.77.0.2
check "H makes a handshake to be recorded" ns H ping -q -c 200 -i 0.01 -s 500 -W 10 10.78.0.2
wait "$recorder"
check_has "datagrams of H are recorded" "$(cat "$work/record.log")" '^[1-9][0-9]{2,}$'

declare -A rates=([bad-mac1]=200000 [bad-mac1-ipv6]=100000 [good-mac1]=100000 [junk]=300000 [replay]=100000)
for f in ${FLOODS:-bad-mac1 bad-mac1-ipv6 good-mac1 junk replay}; do
	[ -n "${rates[$f]:-}" ] || { not_ok "flood $f" "there is no such flood"; continue; }
	flood "$f" "${rates[$f]}"
done

# ---- afterwards ----
check_has "the server still knows where H is" "$(ns S wg show "$if_s" endpoints)" '10\.77\.0\.1:5101'
check "H's tunnel works" ns H ping -q -c 3 -i 0.2 -W 5 10.78.0.2
for p in "$daemon_h" "$daemon_n" "$daemon_s"; do
	stop "$p"
	[ "$server" != qanat-wg ] || check_eq "process ends with status" 0 "$stopped"
done
