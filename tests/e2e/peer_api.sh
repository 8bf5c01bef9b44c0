#!/bin/bash
# peer_api.sh - a backend drives a gateway over HTTPS, as existing ones do; and strangers try to.
#
#   client C  192.0.2.3/24 --- gateway G 192.0.2.1/24 --- 198.51.100.1/24, 2001:db8:1::1 --- 198.51.100.2/24, 2001:db8:1::2 backend U
#   wireguard-go               qanat-gateway, interface qp$$, API at 198.51.100.1:8000
#
# QANAT_FAULT_BIN: directory of programs built with -Dfault_points=true; without it no step is killed.
. "$(dirname "$0")/lib.sh"
need python3 wg jq openssl curl nsenter
if_g=qp$id
state=$work/state sock=$work/run/control.sock
key=$(openssl rand -hex 32)
payload_key=$(openssl rand -base64 32)
url=https://198.51.100.1:8000
q() { qanat --socket "$sock" --json core "$@"; }
# api METHOD PATH [BODY] [OPTION...]: prints "STATUS BODY".
api() { ns U python3 "$top/tests/e2e/peer_client.py" "$url" "$@" key="$key"; }
hostile() { ns U python3 "$top/tests/e2e/peer_hostile.py" "$url" "$key" "$@"; }
path_of() { tr '/+' '_-' <<<"$1" | sed 's/=/%3D/'; }
body() { # body KEY REQUEST_ID [MORE]
	echo "{\"public_key\": \"$1\", \"request_id\": \"$2\"${3:+, $3}}"
}
fresh() { wg genkey | wg pubkey; }
peers() { ns G wg show "$if_g" peers | wc -l; }
stored() { q list_clients | jq .data.total; }

for n in G C U; do ns_add $n || exit 1; done
link_add G cl0 C eth0 && link_add G up0 U eth0 || exit 1
addr_add G cl0 192.0.2.1/24 && addr_add C eth0 192.0.2.3/24
addr_add G up0 198.51.100.1/24 2001:db8:1::1/64 && addr_add U eth0 198.51.100.2/24 198.51.100.3/24 2001:db8:1::2/64 2001:db8:1::3/64
ip -n "q${id}G" route add default via 198.51.100.2

# ---- starting: everything in the file of an existing installation ----

cat >"$work/.env" <<END
# An installation of the reference
export GATEWAY_API_KEY=$key # of openssl rand
GATEWAY_PUBLIC_KEY="$payload_key"
MAX_TIMESTAMP_DIFF=300
WG_IPV4_SUBNET=10.0.1.0/24
WG_IPV6_SUBNET=fd42:4242:1::/64
WG_DEFAULT_PORT=51899
WG_INTERFACE=$if_g
DNS_SERVERS={"d1":"1.1.1.1","d2":"8.8.8.8","d3":"9.9.9.9"}
DB_PATH=$work/state.db
QANAT_PEER_API_ALLOW=::ffff:198.51.100.2/128, 2001:db8:1::2/128
END
bin=$QANAT_BIN with=(A=)
gateway_start() { # OPTION...
	rm -f "$work/ready"
	ns_spawn G gateway.log env "${with[@]}" "$bin/qanat-gateway" --env-file "$work/.env" --socket "$sock" --ready-fd 9 "$@" \
		9>"$work/ready"
	gateway=$spawned
	wait_for 20 ready_or_dead && [ -s "$work/ready" ]
}
ready_or_dead() { [ -s "$work/ready" ] || ! kill -0 "$gateway" 2>/dev/null; }
refused() { # refused PATTERN OPTION...: the gateway does not start, and says why
	local want=$1 text
	shift
	text=$(timeout 10 nsenter --net="/run/netns/q${id}G" "$bin/qanat-gateway" --socket "$sock" --state "$work/none" "$@" 2>&1) && return 1
	grep -Eq -- "$want" <<<"$text" || { echo "$text"; return 1; }
}
chmod 644 "$work/.env"
check "a file of secrets that others may read is refused" refused 'mode 0644' --env-file "$work/.env"
chmod 600 "$work/.env"
(umask 077; { cat "$work/.env"; echo "GATEWAY_APIKEY=x"; } >"$work/wrong")
check "an unknown name is refused, with its line and the nearest" refused ':12: "GATEWAY_APIKEY" .*GATEWAY_API_KEY' --env-file "$work/wrong"
check "an address without a key is refused" refused 'GATEWAY_API_KEY' --peer-api-listen 127.0.0.1
(umask 077; echo "GATEWAY_API_KEY=short" >"$work/wrong")
check "a short key is refused" refused '5 characters' --env-file "$work/wrong"

with=("QANAT_PEER_API_LISTEN=198.51.100.1, [2001:db8:1::1]:8000")
check "the gateway starts" gateway_start
with=(A=)
a=$(q server_status)
check_eq "the environment's settings count" "$if_g 51899 10.0.1.0/24 fd42:4242:1::/64 1.1.1.1,8.8.8.8" \
	"$(jq -r '.data.configuration | "\(.interface) \(.port) \(.network) \(.network6) \(.dns | join(","))"' <<<"$a")"
check_eq "DB_PATH without .db is the state directory" "$state" "$(jq -r .data.system.data_dir <<<"$a")"
pin=$(jq -r .data.https.certificate.fingerprint <<<"$a")
check_has "server_status shows the fingerprint" "$pin" '^([0-9A-F]{2}:){31}[0-9A-F]{2}$'
for a in 198.51.100.1 '[2001:db8:1::1]'; do
	from=${a#[} from=${from%1*}2 # the second host of its network
	check_eq "the certificate is for $a, where it listens" 404 \
		"$(ns U curl -s -m 10 --interface "$from" --cacert "$state/tls/cert.pem" -o /dev/null -w '%{http_code}' "https://$a:8000/nothing")"
done
check_has "the log shows it too" "$(cat "$work/gateway.log")" "https.listening .*fingerprint=$pin"
# Neither keys nor what they made: a signature, or a payload.
secrets() { cat "$work/gateway.log" "/proc/$gateway/cmdline" | tr '\0' '\n' | grep -cE -e "$key|$payload_key|[0-9a-f]{64}|encrypted"; }
check_eq "no secret is in the log or the command line" 0 "$(secrets)"

# ---- a client's life ----

a_private=$(wg genkey) a_key=$(wg pubkey <<<"$a_private")
a_path=/api/v1/configurations/$(path_of "$a_key")
check_eq "create" '200 {"status":"created","assigned_ip":"10.0.1.2"}' "$(api POST /api/v1/configurations/ "$(body "$a_key" order-1)" pin="$pin")"
check_eq "create again" '200 {"status":"exists"}' "$(api POST /api/v1/configurations/ "$(body "$a_key" "order-1 again")")"
b_key=$(fresh)
check_eq "create, dual" '200 {"status":"created","assigned_ip":"10.0.1.3","assigned_ipv6":"fd42:4242:1::3"}' \
	"$(api POST /api/v1/configurations/ "$(body "$b_key" order-2 '"protocol": "dual", "tunnel_traffic": ["ipv4", "ipv6"], "dns": "d2"')" serialised=1)"
check_eq "both are live" "2 2" "$(peers) $(stored)"
check_eq "one noun: list_clients shows it" "order-1 10.0.1.2" "$(q list_clients | jq -r '.data.clients[] | select(.name == "order-1") | "\(.name) \(.ip)"')"
check_has "its private key is with its owner" "$(q export_client client_name=order-1 | jq -r .error)" 'private key'
check_eq "limits are for it, too" true "$(q set_client_limits client_name=order-1 rate_down=50M | jq .success)"

cat >"$work/client.conf" <<END
[Interface]
PrivateKey = $a_private
[Peer]
PublicKey = $(ns G wg show "$if_g" public-key)
Endpoint = 192.0.2.1:51899
AllowedIPs = 0.0.0.0/0
END
if type -P wireguard-go >/dev/null; then
	ns_spawn C client.log wireguard-go -f "qc$id"
	check "wireguard-go takes the client's side" wait_for 10 ns C wg setconf "qc$id" "$work/client.conf"
	addr_add C "qc$id" 10.0.1.2/32
	ip -n "q${id}C" link set "qc$id" up
	ip -n "q${id}C" route add 198.51.100.0/24 dev "qc$id"
	connects() { ns C ping -c 1 -W 1 198.51.100.2; }
	check "it reaches the world with the address it was given" wait_for 10 connects
	check_eq "its handshake is in the metrics" true \
		"$(api GET /api/v1/server/metrics | cut -d' ' -f2- | jq --arg k "$a_key" ".wireguard.last_handshakes[\$k] > $(($(date +%s) - 60))")"
else
	skip "a real client connects" "no wireguard-go"
	connects() { [ "$(ns G wg show "$if_g" allowed-ips | grep -cF "$a_key")" = 1 ]; }
fi
check_eq "suspend" '200 {"status":"suspended"}' "$(api PUT "$a_path/status" '{"status": "suspended"}')"
check "a suspended client is cut off" eval '! connects'
check_eq "its row stays" "1 2" "$(peers) $(stored)"
check_eq "nobody else gets its address" '200 {"status":"created","assigned_ip":"10.0.1.4"}' "$(api POST /api/v1/configurations/ "$(body "$(fresh)" order-3)")"
check_eq "sync-ips does not raise it" '200 {"status":"synced"} 2' "$(api POST /api/v1/sync-ips) $(peers)"
check_eq "resume" '200 {"status":"updated"}' "$(api PUT "$a_path/status" '{"status": "active"}')"
# wireguard-go sends a new initiation up to 15 s after its last packet went unanswered, and again 5 s later.
check "a resumed client goes on with its address" wait_for 30 connects
check_eq "delete" '200 {"status":"deleted"}' "$(api DELETE "/api/v1/configurations/$(path_of "$b_key")")"
check_eq "delete again" '404 {"detail":"Configuration not found"}' "$(api DELETE "/api/v1/configurations/$(path_of "$b_key")" form=whole)"
check_eq "the lowest address is given again" '200 {"status":"created","assigned_ip":"10.0.1.3"}' "$(api POST /api/v1/configurations/ "$(body "$(fresh)" order-4)")"
check_eq "an encrypted payload wins, its answer is encrypted" '200 {"status":"created","assigned_ip":"10.0.1.5","assigned_ipv6":"fd42:4242:1::5"}' \
	"$(api POST /api/v1/configurations/ "$(body "$(fresh)" order-5)" payload_key="$payload_key" 'payload={"protocol": "dual", "dns": "d3"}')"
check_eq "one that does not open is refused" '400 {"detail":"Invalid encrypted payload"}' \
	"$(api POST /api/v1/configurations/ "$(body "$(fresh)" order-6)" payload_key=another 'payload={"protocol": "dual"}')"
a=$(api GET /api/v1/ip-usage | cut -d' ' -f2-)
check_eq "ip-usage" "253 4 249 10.0.1.2 10.0.1.1 fd42:4242:1::5 fd42:4242:1::1" \
	"$(jq -r '"\(.ipv4.total) \(.ipv4.used) \(.ipv4.available) \(.ipv4.assigned_ips[0]) \(.ipv4.gateway_ip) \(.ipv6.assigned_ips[0]) \(.ipv6.gateway_ip)"' <<<"$a")"
a=$(api GET /api/v1/server/status | cut -d' ' -f2-)
check_eq "status" "4 4 healthy" "$(jq -r '"\(.wireguard_peers) \(.total_peers) \(.status)"' <<<"$a")"
check_eq "status: figures" true "$(jq '.memory_usage > 0 and .memory_usage < 100 and .load_average >= 0 and (.timestamp | length) > 18' <<<"$a")"

# ---- strangers ----

check_eq "a stranger's key" '401 {"detail":"Invalid signature"}' "$(api GET /api/v1/server/status form=whole signed_body=x)"
check_eq "no signature" 422 "$(api GET /api/v1/server/status form=none | cut -d' ' -f1)"
check_eq "an old timestamp, whatever MAX_TIMESTAMP_DIFF says" '401 {"detail":"Timestamp too old"}' "$(api GET /api/v1/server/status time=-90)"
check_eq "one of the future" '401 {"detail":"Timestamp too old"}' "$(api GET /api/v1/server/status time=90)"
check_eq "no timestamp that is one" '401 {"detail":"Invalid timestamp"}' "$(api GET /api/v1/server/status timestamp=now)"
check_eq "re-targeted: signed for another path" '401 {"detail":"Invalid signature"}' "$(api DELETE "$a_path" form=whole signed_path="$a_path/status")"
check_eq "re-targeted: signed for another method" '401 {"detail":"Invalid signature"}' "$(api DELETE "$a_path" form=whole signed_method=GET)"
check_eq "another body than was signed" '401 {"detail":"Invalid signature"}' \
	"$(api PUT "$a_path/status" '{"status": "suspended"}' form=whole 'signed_body={"status": "active"}')"
check_eq "a replay, legacy" '200 {"status":"updated"} 401 {"detail":"Replay detected"}' \
	"$(api PUT "$a_path/status" '{"status":"active"}' twice=1 | tr '\n' ' ' | sed 's/ $//')"
check_eq "a replay, whole" '200 {"status":"updated"} 401 {"detail":"Replay detected"}' \
	"$(api PUT "$a_path/status" '{"status":"active"}' form=whole twice=1 | tr '\n' ' ' | sed 's/ $//')"
check "another network is not let in" eval '! api GET /api/v1/server/status source=198.51.100.3'
check_has "which is logged" "$(cat "$work/gateway.log")" 'https.not_admitted .*198\.51\.100\.3'
check_eq "IPv6 is let in by its own networks" "200" \
	"$(url=https://[2001:db8:1::1]:8000 api GET /api/v1/server/status source=2001:db8:1::2 | cut -d' ' -f1)"
check "and by no others" eval '! url=https://[2001:db8:1::1]:8000 api GET /api/v1/server/status source=2001:db8:1::3'
check_eq "nothing of that changed anything" "4 4" "$(peers) $(stored)"
code() { ns U curl -sk -o /dev/null -w '%{http_code}' -m 10 "$@"; }
head -c 10000000 /dev/zero >"$work/big"
check_eq "a body of 10 MB" 413 "$(code --data-binary @"$work/big" -H 'Expect:' $url/api/v1/configurations/)"
check_eq "over HTTP/2" 413 "$(code --http2 --data-binary @"$work/big" $url/api/v1/configurations/)"
check_eq "what no library sends is answered, or closed" "in their order: n0 n1 n2 closed
HTTP/1.0, no Host: 200 closed
HTTP/1.1, no Host: 400 closed
HTTP/3.0: 505 closed
HTTP/2 without ALPN: 505 closed
a length too small: 401 closed
a length below 0: 400 closed
a length beyond numbers: 400 closed
two lengths: 400 closed
length and chunks: 400 closed
chunks: 200 closed
10 MB declared: 413 closed
65536 bytes: 422 closed
65537 bytes: 413 closed
a long head: 431 closed
many headers: 431 closed
LF alone: 400 closed
a folded header: 400 closed
two signatures: 422 closed
another method: 405 closed
an unknown method: 501 closed
dots: 400 closed
another host in the target: 400 closed
noise: 400 closed" "$(hostile requests)"
check_eq "who is slow is cut off" "a slow head: 408 closed
a slow body: 408 closed
a body that stops: 408 closed
no TLS: closed" "$(hostile slow)"
check_eq "one was whole, and made a client" "5 5" "$(peers) $(stored)"
h_key=$(ns G wg show "$if_g" allowed-ips | awk '$2 == "10.0.1.6/32" { print $1 }')
check_eq "which is deleted again" '200 {"status":"deleted"}' "$(api DELETE "/api/v1/configurations/$(path_of "$h_key")")"
a=$(ns U curl -sk -D - -o /dev/null -m 10 -H 'X-Request-ID: order-77.a' -d '{}' "$url/api/v1/configurations/?token=$key")
check_has "an answer has the caller's id" "$a" '^x-request-id: order-77\.a'
check_has "as the log does, with where from, what and how it ended" "$(cat "$work/gateway.log")" \
	'https\.request .*method=POST route=/api/v1/configurations/ status=422 .*from=198\.51\.100\.2:[0-9]+ id=order-77\.a'
check_eq "no secret is in the log after all that" 0 "$(secrets)"
deep=$(printf '[%.0s' {1..20000})
check_eq "deep JSON" 422 "$(api POST /api/v1/configurations/ "{\"a\": $deep" | cut -d' ' -f1)"
check_has "HTTP/2" "$(ns U curl -sk -o /dev/null -w '%{http_version} %{http_code}' --http2 $url/nothing)" '^2 404$'
check_eq "TLS 1.2 is not spoken" 000 "$(code --tls-max 1.2 $url/nothing)"

# ---- certificates, restarts ----

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$state/tls/key.pem" -out "$state/tls/cert.pem" -days 9 \
	-subj /CN=new >"$work/openssl.log" 2>&1
chown 0:0 "$state"/tls/*.pem # as who brings them does: the helper opens them
new=$(openssl x509 -in "$state/tls/cert.pem" -noout -fingerprint -sha256 | cut -d= -f2)
check_eq "SIGHUP changes the certificate under open connections" "changed: True, kept: 200 200, half sent: 200" "$(hostile reload "$gateway")"
h_key=$(ns G wg show "$if_g" allowed-ips | awk '$2 == "10.0.1.6/32" { print $1 }')
api DELETE "/api/v1/configurations/$(path_of "$h_key")" >"$work/deleted"
check "SIGHUP loads the certificate" wait_for 5 eval "api GET /api/v1/server/status pin=$new | grep -q ^200"
check "who was connected stays so" eval 'wait_for 5 connects'
echo rubbish >"$state/tls/cert.pem"
kill -HUP "$gateway"
check "a broken one is refused, with a reason" wait_for 5 grep -q https.reload_failed "$work/gateway.log"
check "and the old one goes on" eval "api GET /api/v1/server/status pin=$new | grep -q ^200"
openssl req -x509 -key "$state/tls/key.pem" -out "$state/tls/cert.pem" -days 9 -subj /CN=new >"$work/openssl.log" 2>&1

ns U python3 - "$url" >"$work/waiting" <<'END' &
import socket, ssl, sys, time
from urllib.parse import urlsplit
u, worst = urlsplit(sys.argv[1]), 0
end = time.time() + 4
context = ssl._create_unverified_context()
while time.time() < end:
    try:
        with socket.create_connection((u.hostname, u.port), timeout=5) as s, context.wrap_socket(s): pass
    except ConnectionRefusedError: worst += 1
    except OSError: pass
    time.sleep(0.005)
print(worst)
END
asker=$!
sleep 1
kill -USR2 "$gateway"
wait "$asker"
check_eq "nobody is refused during a restart in place" 0 "$(cat "$work/waiting")"
check "the restarted gateway serves" wait_for 10 eval "api GET /api/v1/server/status | grep -q ^200"
check_eq "with the same clients" "4 4" "$(peers) $(stored)"
check "the client's tunnel too" wait_for 20 connects
api PUT "$a_path/status" '{"status": "suspended"}' >/dev/null
k_key=$(fresh)
check_eq "created just before it is killed" 200 "$(api POST /api/v1/configurations/ "$(body "$k_key" order-9)" | cut -d' ' -f1)"
kill -KILL "$gateway"
wait "$gateway" 2>/dev/null
check "it starts after kill -9" gateway_start
check_eq "what was answered is there, suspended ones are not live" "4 5 1" \
	"$(peers) $(stored) $(ns G wg show "$if_g" allowed-ips | grep -cF "$k_key")"
a=$(hostile stop "$gateway")
if [ "$a" = late ]; then skip "a request under way is answered at a stop" "this machine is too busy"; else
	check_eq "a request under way is answered at a stop, new ones are refused" "new ones refused: True, half sent: 200" "$a"
fi
check "it stops in order" stop "$gateway"
check_eq "with status 0" 0 "$stopped"

# ---- killed in each step of a change ----

fault_bin=${QANAT_FAULT_BIN:-}
if [ -n "$fault_bin" ] && [ -x "$fault_bin/qanat-gateway" ]; then
	bin=$fault_bin
	i=0
	for point in peers.inserted peers.live peers.committed; do
		i=$((i + 1))
		f_key=$(fresh)
		with=("QANAT_CRASH=$point")
		gateway_start || not_ok "start with $point" "$(tail -n 2 "$work/gateway.log")"
		got=$(api POST /api/v1/configurations/ "$(body "$f_key" crash-$i)" 2>&1 | tail -n 1 | cut -d' ' -f1)
		wait "$gateway" 2>/dev/null
		with=(A=)
		gateway_start || not_ok "start after $point" "$(tail -n 2 "$work/gateway.log")"
		want=0
		[ $point = peers.committed ] && want=1
		check_eq "killed at $point: not answered, and whole or not at all" "no answer, $want live, $want stored" \
			"$([ "$got" = 200 ] && echo answered || echo "no answer"), $(ns G wg show "$if_g" peers | grep -cF "$f_key") live, $(q list_clients search=crash-$i | jq .data.total) stored"
		[ $want = 1 ] || check_eq "after $point it can be created" 200 "$(api POST /api/v1/configurations/ "$(body "$f_key" again-$i)" | cut -d' ' -f1)"
		stop "$gateway"
	done
else
	skip "steps of a change under kill -9" "QANAT_FAULT_BIN names no programs with fault points"
fi
bin=$QANAT_BIN with=(MAX_TIMESTAMP_DIFF=30)
check "the legacy form can be refused" gateway_start --peer-api-refuse-legacy
with=(A=)
check_eq "refused" 401 "$(api GET /api/v1/server/status | cut -d' ' -f1)"
check_eq "ours is not" 200 "$(api GET /api/v1/server/status form=whole | cut -d' ' -f1)"
check_eq "MAX_TIMESTAMP_DIFF counts below 60" '401 {"detail":"Timestamp too old"}' "$(api GET /api/v1/server/status form=whole time=-45)"
stop "$gateway"
check "limits and versions can be chosen" gateway_start --peer-api-rate 1 --tls12
check_has "a source has its rate, whatever it asks for" "$(hostile rate)" '^200( 200)?( 429){6,7} [1-9][0-9]*$'
sleep 2 # two requests are there again
check_eq "TLS 1.2 on request" 422 "$(code --tls-max 1.2 $url/api/v1/server/status)"
check_eq "TLS 1.1 is never spoken" 000 "$(code --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 $url/api/v1/server/status)"
finish
