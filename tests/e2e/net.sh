#!/bin/bash
# net.sh - the host's network stays as the gateway has made it, whoever takes it apart.
#
#    client host C                gateway host G                    "internet" host I
#   192.0.2.2/24 ----------- 192.0.2.1   198.51.100.1 (up0) ------- 198.51.100.2/24
#   qanat-wg                 qanat-gateway
#   pings 192.0.2.129 on I's lo          203.0.113.1 (up1) -------- 203.0.113.2/24
#
# A repair has 5 s, and is logged with a sentence.  Tables of others stay as they are.
. "$(dirname "$0")/lib.sh"
need wg nft ping jq nsenter
if_c=qc$id if_g=qg$id
sock=$work/control.sock
target=198.18.0.1

for n in C G I; do ns_add $n || exit 1; done
link_add C eth0 G toC && link_add G up0 I eth0 && link_add G up1 I eth1 || exit 1
addr_add C eth0 192.0.2.2/24
addr_add G toC 192.0.2.1/24
addr_add G up0 198.51.100.1/24
addr_add G up1 203.0.113.1/24
addr_add I eth0 198.51.100.2/24
addr_add I eth1 203.0.113.2/24
addr_add I lo $target/32
ip -n "q${id}G" route add default via 198.51.100.2
ns G nft 'table ip theirs { chain c { type filter hook input priority 0; policy accept; ip saddr 192.0.2.77 drop; }; }'

snapshot() {
	{
		ip -n "q${id}G" addr
		ip -n "q${id}G" route show table all
		ip -n "q${id}G" -6 route show table all
		ip -n "q${id}G" rule
		ns G nft list ruleset
		ns G cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding
	} | sed -E 's/ (valid_lft|preferred_lft|expires) [^ ]+//g; /fe80::/d; /ff00::/d; s/ tentative//' | sort
}
snapshot >"$work/before"

gateway_start() {
	ns_spawn G gateway.log "$QANAT_BIN/qanat-gateway" --state "$work/state" --socket "$sock" --interface "$if_g"
	gateway=$spawned
	wait_for 20 qanat --socket "$sock" core server_status
}
net() { qanat --socket "$sock" --json net "$@"; }
clean() { [ "$(net diff | jq .data.differs)" = false ]; }
# A line of the log that is not there yet: mark, then logged PATTERN.
mark() { seen=$(wc -l <"$work/gateway.log"); }
logged() { [ -n "$(tail -n +$((seen + 1)) "$work/gateway.log" | grep -E -m 1 -- "$1")" ]; }
reaches() { ns C ping -c 1 -W 1 $target >/dev/null; }
ready_times() { [ "$(grep -c gateway.ready "$work/gateway.log")" -ge "$1" ]; }
# repaired NAME LOG-PATTERN [SECONDS]: within 5 s where nothing else runs, as said and logged, and nothing differs any more; a
# client is through again within SECONDS.
repaired() {
	local begun=$(date +%s%N)
	if wait_for 5 logged "net.repaired.*$2"; then ok "$1: noticed, repaired, logged"
	else not_ok "$1: noticed, repaired, logged" "no /$2/: $(tail -n 3 "$work/gateway.log")"; fi
	echo "# $1: seen in the log after $((($(date +%s%N) - begun) / 1000000)) ms"
	check "$1: nothing differs any more" wait_for 2 clean
	check "$1: the client reaches the internet" wait_for "${3:-5}" reaches
}

# ---- a client through the gateway ----

check "the gateway starts" gateway_start
qanat --socket "$sock" --json core add_client client_name=alice >"$work/added"
qanat --socket "$sock" core export_client client_name=alice --out "$work/alice.conf" >"$work/exported" 2>&1
check "a client is exported" test -s "$work/alice.conf"
check_has "its endpoint is the address of the default route" "$(cat "$work/alice.conf")" 'Endpoint = 198\.51\.100\.1:51820'
ns_spawn C client.log qanat-wg --foreground "$if_c" || true
wait_for 10 ip -n "q${id}C" link show "$if_c" || { not_ok "the client's device" "$(cat "$work/client.log")"; exit 1; }
sed -E '/^(Address|DNS|MTU)/d; s/^Endpoint.*/Endpoint = 192.0.2.1:51820/; s/^PersistentKeepalive.*/PersistentKeepalive = 1/' \
	"$work/alice.conf" >"$work/client.conf"
check "the client takes its configuration" ns C wg setconf "$if_c" "$work/client.conf"
addr_add C "$if_c" "$(sed -nE 's/^Address = ([0-9.]+).*/\1/p' "$work/alice.conf")/32"
ip -n "q${id}C" link set "$if_c" mtu 1420 up
ip -n "q${id}C" route add $target dev "$if_c"
check "the client reaches the internet" wait_for 10 reaches

# ---- nothing differs ----

check_eq "diff as JSON" false "$(net diff | jq .data.differs)"
check_has "diff for people" "$(qanat --socket "$sock" net diff)" 'nothing differs'
sleep 1
check_eq "our own changes lead to no repair" 0 "$(net status | jq .data.repairs)"

# ---- nft ----

mark
ns G nft flush ruleset
repaired "nft flush ruleset" "nft table inet qanat_$if_g was missing"
check_has "status names who did it" "$(net status | jq -c .data.table_touched_by)" '"program":"nft"'
ns G nft 'table ip theirs { chain c { type filter hook input priority 0; policy accept; ip saddr 192.0.2.77 drop; }; }'
mark
ns G nft flush chain inet "qanat_$if_g" postrouting
repaired "a chain flushed" "was not as it was loaded"
mark
ns G nft insert rule inet "qanat_$if_g" forward drop
repaired "a rule of somebody else among ours" "was not as it was loaded"
check_has "tables of others are not touched" "$(ns G nft list ruleset)" 'ip saddr 192.0.2.77 drop'
other=$(ns G nft list table ip theirs)
mark
for i in 1 2 3; do ns G nft add table inet churn$i; ns G nft delete table inet churn$i; done
sleep 1
check_eq "other tables may change as they like" "" "$(tail -n +$((seen + 1)) "$work/gateway.log")"

# ---- settings, addresses, routes, the link ----

mark
ns G sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward'
repaired "forwarding turned off" 'net.ipv4.ip_forward was 0'
mark
ip -n "q${id}G" addr del 10.8.0.1/24 dev "$if_g"
repaired "the address removed" "address 10.8.0.1/24 was missing on $if_g"
mark
ip -n "q${id}G" route del blackhole 10.8.0.0/24 metric 4294967295
repaired "the blackhole route removed" "blackhole route 10.8.0.0/24 was missing"
mark
ip -n "q${id}G" link set "$if_g" mtu 1300
repaired "the MTU changed" "the MTU of $if_g was 1300"
mark
ip -n "q${id}G" link set "$if_g" down
# A device that goes down forgets its sessions; a client finds out after 15 s of silence (WireGuard paper, 6.5).
repaired "the interface set down" "interface $if_g was down" 25

# ---- by hand ----

kill -STOP "$gateway"
ns G nft delete table inet "qanat_$if_g"
ip -n "q${id}G" route del blackhole 10.8.0.0/24 metric 4294967295
kill -CONT "$gateway"
check "repair by hand, or it was faster" net repair
check "nothing differs then" wait_for 5 clean
check_eq "the other's table is as it was" "$other" "$(ns G nft list table ip theirs)"

# ---- the default route moves to another interface ----

mark
ip -n "q${id}G" route replace default via 203.0.113.2
check "the default route that moves is noticed" wait_for 5 logged 'net.default_route_moved.*from=up0 to=up1'
check "masquerade follows it" wait_for 5 reaches
qanat --socket "$sock" --json core add_client client_name=bob >"$work/added"
check_has "the endpoint of later exports follows it" "$(qanat --socket "$sock" core export_client client_name=bob)" \
	'Endpoint = 203\.0\.113\.1:51820'

# ---- the interface deleted under us ----

mark
pid=$gateway
ip -n "q${id}G" link del "$if_g"
check "deleted: noticed" wait_for 5 logged "gateway.interface_gone.*$if_g"
check "deleted: ready again" wait_for 5 ready_times 2
check "deleted: the same process" kill -0 "$pid"
check "deleted: the client goes on" wait_for 5 reaches
check "deleted: nothing differs" wait_for 5 clean
check_eq "deleted: the client is known" 2 "$(qanat --socket "$sock" --json core list_clients | jq '.data.clients | length')"
for i in 2 3 4 5; do
	ip -n "q${id}G" link del "$if_g"
	wait_for 10 ready_times $((i + 1)) || { not_ok "deleted the ${i}th time: ready again" "$(tail -n 3 "$work/gateway.log")"; break; }
done
ip -n "q${id}G" link del "$if_g"
check "deleted once too often: the gateway ends" wait_for 15 gone "$gateway"
stop "$gateway"
check_eq "with a failure" 1 "$stopped"
check_has "that says why" "$(tail -n 4 "$work/gateway.log")" 'deleted more than 5 times within 60 s'
ip -n "q${id}G" route replace default via 198.51.100.2
snapshot >"$work/after"
check "and the host is as it was" diff "$work/before" "$work/after"

# ---- a fight ----

check "the gateway starts again" gateway_start
fighter() { while ns G nft delete table inet "qanat_$if_g" 2>/dev/null || sleep 0.05; do :; done; }
mark
fighter & fighter=$!
pids+=("$fighter")
check "a fight is told as an error that names the program" wait_for 20 logged 'net.fight.*program=nft'
kill "$fighter" 2>/dev/null
wait "$fighter" 2>/dev/null
check_has "repairs wait" "$(net status | jq .data.repairs_wait_seconds)" '^[1-9]'
repairs=$(tail -n +$((seen + 1)) "$work/gateway.log" | grep -c net.repaired)
check "and are few" test "$repairs" -le 7
check "by hand it is repaired at once" net repair
check "and nothing differs" clean
stop "$gateway"
check_eq "the gateway stops" 0 "$stopped"
snapshot >"$work/after"
check "and the host is as it was before" diff "$work/before" "$work/after"

# ---- killed while nft is under way ----

cat >"$work/nft" <<END_NFT
#!/bin/sh
if [ "\$1" = -f ] && [ -e $work/hold ]; then
	echo \$\$ >$work/held
	while [ -e $work/hold ]; do sleep 0.05; done
fi
exec $work/nft.real "\$@"
END_NFT
chmod 755 "$work/nft"
real=$(type -P nft)
cp "$(realpath "$real")" "$work/nft.real"
touch "$work/hold"
ns_spawn G killed.log unshare -m sh -c "mount --bind '$work/nft' '$(realpath "$real")' && exec \"\$@\"" sh \
	"$QANAT_BIN/qanat-gateway" --state "$work/state" --socket "$sock" --interface "$if_g"
gateway=$spawned
check "nft is under way" wait_for 20 test -s "$work/held"
kill -KILL "$gateway"; wait "$gateway" 2>/dev/null
ns_spawn G clean.log "$QANAT_BIN/qanat-gateway" --clean-up --state "$work/state" --socket "$sock" --interface "$if_g"
cleaner=$spawned
sleep 1 # one that does not wait for nft has ended by now
rm "$work/hold"
wait "$cleaner"
check_eq "cleaning up succeeds" 0 $?
check "and nft has ended" wait_for 10 gone "$(cat "$work/held")"
check_eq "what it loaded is not left" "" "$(ns G nft list tables | grep qanat_)"
snapshot >"$work/after"
check "nor is anything else" diff "$work/before" "$work/after"
