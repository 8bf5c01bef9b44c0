#!/bin/bash
# cli.sh - the command line against a gateway that answers as it is told (fake-gateway.py): output on pipes and
# terminals, exit statuses, files, QR codes, completion, and `qanat serve` as a supervisor.
. "$(dirname "$0")/lib.sh"
need python3 script jq setpriv
here=$top/tests/e2e
sock=$work/s.sock
export QANAT_SOCKET=$sock
unset NO_COLOR
export TERM=xterm-256color

fake() { # [MODE]: starts the fake gateway at $sock
	rm -f "$sock"
	spawn "fake.log" /usr/bin/python3 "$here/fake-gateway.py" "$sock" "${1:-}"
	fake_pid=$spawned
	wait_for 10 test -S "$sock" || { cat "$work/fake.log"; exit 1; }
}
unfake() { stop "$fake_pid"; rm -f "$sock"; }
# run COMMAND...: its stdout, stderr and status in $out, $err and $rc; stdout is a pipe.
run() {
	out=$("$@" 2>"$work/err"); rc=$?
	err=$(cat "$work/err")
}
# on_tty COLUMNS COMMAND: stdout and stderr on a terminal, in $out; the status in $rc.
on_tty() {
	local columns=$1
	shift
	script -qec "stty cols $columns rows 40; $*" /dev/null </dev/null >"$work/tty"
	rc=$?
	out=$(tr -d '\r' <"$work/tty")
}
plain() { sed 's/\x1b\[[0-9;]*m//g' <<<"$1"; }
mode_of() { stat -c %a "$1"; }

# ---- without a gateway ----
run qanat core list_clients
check_eq "no gateway: exit status" 1 "$rc"
check_eq "no gateway: JSON with a code" SERVICE_NOT_RUNNING "$(jq -r .code <<<"$out")"
check_has "no gateway: names the socket and what to do" "$(jq -r .error <<<"$out")" "$sock.*qanat serve"
check_eq "no gateway: nothing on stderr beside the JSON" "" "$err"
on_tty 80 qanat core list_clients
check_eq "no gateway: exit status on a terminal" 1 "$rc"
check_has "no gateway: a sentence on a terminal" "$out" "^qanat: no gateway .*$sock"
/usr/bin/python3 -c 'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$sock"
run qanat core list_clients
check_eq "a socket that nobody serves" SERVICE_NOT_RUNNING "$(jq -r .code <<<"$out")"
run qanat --socket "$work/$(printf 'x%.0s' {1..200})" core list_clients
check_eq "a socket path too long" 1 "$rc"
check_has "a socket path too long is named" "$(jq -r .error <<<"$out")" 'xxxx.*107'

# ---- wrong command lines ----
# Wrong options have no answer and give 2; wrong modules, actions and parameters an answer with its code, and 1.
usage() { # NAME WANT-STDERR ARGUMENTS...
	local name=$1 want=$2
	shift 2
	run qanat "$@"
	check_eq "$name: exit status" 2 "$rc"
	check_has "$name: says so" "$err" "$want"
	check_eq "$name: no answer" "" "$out"
}
wrong() { # NAME CODE WANT-STDERR ARGUMENTS...
	local name=$1 code=$2 want=$3
	shift 3
	run qanat "$@"
	check_eq "$name: exit status and code" "1 $code" "$rc $(jq -r .code <<<"$out")"
	check_has "$name: says so" "$err" "$want"
}
usage "nothing" 'MODULE ACTION'
wrong "unknown module" MODULE_NOT_FOUND "did you mean 'core'" coer list_clients
wrong "unknown action" ACTION_NOT_FOUND "did you mean 'list_clients'" core list_client
wrong "unknown parameter" INVALID_PARAMETER 'did you mean "client_name"' core add_client clientname=x
wrong "missing parameter" MISSING_PARAMETER 'client_name' core add_client
usage "missing action" 'action' core
wrong "a word without equals sign" INVALID_PARAMETER "'laptop' is not KEY=VALUE" core add_client laptop
wrong "unknown action: the others" ACTION_NOT_FOUND 'available actions: add_client, remove_client' core zzz
wrong "a number too large" INVALID_PARAMETER 'page: .*too large.*9223372036854775807' core list_clients page=99999999999999999999
usage "unknown option" '--json.*qanat --help' core list_clients --jsn
usage "unknown option of serve" 'qanat serve --help' serve --zzz
usage "a command with a typing mistake" "did you mean 'serve'" serv
usage "a command with a typing mistake, with options" "did you mean 'serve'" serv --state /tmp
run qanat --compat-exit core list_clients
check_eq "--compat-exit without a gateway" "0 false" "$rc $(jq .success <<<"$out")"
echo >"$work/plain"
for path in "$work/plain" "$work"; do
	run qanat --socket "$path" core list_clients
	check_has "--socket on what is no socket" "$(jq -r .error <<<"$out")" "$path is not a socket"
done
wrong "a value out of range" INVALID_PARAMETER 'per_page' core list_clients per_page=0
wrong "--qr where it does not belong" INVALID_PARAMETER 'export_client' core list_clients --qr
wrong "--out where it does not belong" INVALID_PARAMETER 'export_client' core list_clients --out x
usage "help of what is not there" "did you mean 'add_client'" core add_clint --help
usage "completion for an unknown shell" 'bash' completion fish
usage "a short form of nobody" 'name the client: qanat peer why NAME' peer why
usage "a short form of nobody, with a limit" 'name the client' peer limit rate_up=1M
usage "a short form that is not there" "did you mean 'peer why'" peer wy
wrong "a short form with an unknown key" INVALID_PARAMETER 'rate_up' peer limit x rateup=1M
check_has "help of the short forms has their keys" "$(qanat peer --help)" 'quota .*20G'
run qanat coer list_clients
check_eq "unknown module: the envelope on a pipe too" MODULE_NOT_FOUND "$(jq -r .code <<<"$out")"
check_eq "unknown module: with what there is" core "$(jq -r '.data.available_modules[0]' <<<"$out")"
run qanat core add_client "client_name=$(printf '\xff')"
check_eq "a value that is not UTF-8" 1 "$rc"

# ---- help ----
for words in "--help" "-h" "help" "core --help" "core add_client --help" "help core export_client" "serve --help" \
	"help serve" "help completion" "help help" "completion --help" "core help"; do
	run qanat $words
	check_eq "qanat $words: exit status" 0 "$rc"
	check_has "qanat $words: usage" "$out" 'Usage: qanat'
done
check_has "serve --help shows what settings begin with" "$(qanat serve --help)" 'port.*51820'
check_has "serve --help says that they are kept" "$(qanat serve --help)" 'kept in the state directory'
check_has "version" "$(qanat --version)" '^qanat [0-9]+\.[0-9]+'
run sh -c 'qanat --help >/dev/full'
check_eq "output that cannot be written: exit status" 1 "$rc"
check_has "output that cannot be written: says so" "$err" 'No space left'

# ---- answers ----
fake
run qanat core list_clients
check_eq "JSON on a pipe: exit status" 0 "$rc"
check_eq "JSON on a pipe" 3 "$(jq '.data.clients | length' <<<"$out")"
check_eq "JSON is indented by two" '  "success": true,' "$(sed -n 2p <<<"$out")"
check_eq "typed parameters reach the gateway" '{"setting_name":"x","value":true}' \
	"$(qanat core update_tweak_setting setting_name=x value=true | jq -c .data.echo)"
check_eq "a name of digits stays a text" '"123"' "$(qanat core add_client client_name=123 | jq -c .data.client.name)"
on_tty 120 qanat core list_clients
check_has "a table on a terminal" "$(plain "$out")" '^NAME +ADDRESS +STATE'
check_has "a client in it" "$(plain "$out")" '^laptop +10\.8\.0\.2 +connected +1 minute ago +1\.2 GB'
check_has "with colours" "$out" $'\x1b\\[32mconnected'
on_tty 120 qanat --no-color core list_clients
check_has "--no-color" "$out" '^laptop +10\.8\.0\.2 +connected'
on_tty 120 env NO_COLOR=1 qanat core list_clients
check_has "NO_COLOR" "$out" '^laptop +10\.8\.0\.2 +connected'
on_tty 30 qanat core list_clients
check_has "a narrow terminal" "$(plain "$out")" 'not shown'
on_tty 120 qanat core list_clients --json
check_eq "--json on a terminal" true "$(jq .success <<<"$out")"
on_tty 120 qanat core add_client client_name=new
check_has "add_client: a sentence" "$out" "Client 'new' added successfully"
check_has "add_client: the next step" "$(plain "$out")" 'export_client client_name=new --qr'
on_tty 120 qanat core server_status
check_has "server_status: drops that occurred" "$(plain "$out")" '^  replay +7'
check_eq "server_status: and no others" 0 "$(grep -c 'no peer' <<<"$out")"
check_has "server_status: a section of later" "$(plain "$out")" '^weather'
check_eq "search=null searches nothing" 5 "$(qanat core list_clients search=null | jq .data.total)"
run qanat core add_client client_name=new
check_eq "success: false is status 1" 1 "$rc"
check_eq "success: false has its code" CLIENT_EXISTS "$(jq -r .code <<<"$out")"
run qanat --compat-exit core add_client client_name=new
check_eq "--compat-exit: status 0" 0 "$rc"
on_tty 120 qanat core add_client client_name=new
check_eq "success: false on a terminal: status" 1 "$rc"
check_has "success: false on a terminal: a sentence" "$out" "^qanat: client 'new' exists already \(CLIENT_EXISTS\)"

# ---- exports ----
on_tty 120 qanat core export_client client_name=phone
check_has "export on a terminal is the configuration" "$out" '^PrivateKey = yAnz5TF'
run qanat core export_client client_name=phone --out "$work/phone.conf"
check_eq "--out: exit status" 0 "$rc"
check_eq "--out: mode" 600 "$(mode_of "$work/phone.conf")"
check_eq "--out: the configuration" "$(qanat core export_client client_name=phone | jq -r .data.config)" "$(cat "$work/phone.conf")"
check_eq "--out: the answer names the file" "$work/phone.conf" "$(jq -r .data.file <<<"$out")"
check_eq "--out: and holds no key" 0 "$(grep -cE 'SECRET|yAnz5TF' <<<"$out")"
echo precious >"$work/phone.conf"
run qanat core export_client client_name=phone --out "$work/phone.conf"
check_eq "--out on a file that exists: exit status" 1 "$rc"
check_has "--out on a file that exists: says so" "$err" "$work/phone.conf.*--force"
check_eq "--out on a file that exists: the envelope on a pipe" false "$(jq .success <<<"$out")"
check_eq "--out on a file that exists: untouched" precious "$(cat "$work/phone.conf")"
for path in "$work" /dev/null; do
	run qanat core export_client client_name=phone --out "$path" --force
	check_has "--force on $path: refused" "$rc $err" "^1 .*$path is a d"
done
(umask 0; qanat core export_client client_name=phone --out "$work/phone.conf" --force >/dev/null)
check_eq "--force: replaced, mode" "600 12" "$(mode_of "$work/phone.conf") $(wc -l <"$work/phone.conf")"
run qanat core export_client client_name=phone --out "$work/none/phone.conf"
check_eq "--out into no directory: exit status" 1 "$rc"
check_has "--out into no directory: named" "$err" "$work/none/phone.conf.*No such file"
check_eq "--out -: the bare configuration" "$(cat "$work/phone.conf")" "$(qanat core export_client client_name=phone --out -)"
run sh -c 'qanat core export_client client_name=phone >/dev/full'
check_eq "an answer that cannot be written" 1 "$rc"
run qanat core export_client client_name=nobody --qr
check_eq "--qr of nobody: exit status" 1 "$rc"

# ---- QR codes ----
on_tty 100 qanat core export_client client_name=phone --qr
check_eq "--qr on a terminal: exit status" 0 "$rc"
check_has "--qr on a terminal: black on white" "$out" $'\x1b\\[38;5;16;48;5;231m'
printf '%s\n' "$out" >"$work/qr.tty"
qanat core export_client client_name=phone --qr >"$work/qr.text"
check_eq "--qr on a pipe: no escape sequences" 0 "$(grep -c $'\x1b' "$work/qr.text")"
if type -P zbarimg >/dev/null; then
	qanat core export_client client_name=phone --out - >"$work/want"
	for kind in tty text; do
		/usr/bin/python3 "$here/qr-image.py" "$work/qr.$kind" "$work/qr.pgm"
		zbarimg -q --raw --oneshot "$work/qr.pgm" >"$work/got" 2>"$work/zbar.err"
		# zbarimg ends what it read with a newline of its own.
		check_eq "a reader decodes the QR code ($kind)" "$(cat "$work/want")" "$(cat "$work/got")"
	done
else
	skip "a reader decodes the QR code" "no zbarimg (package zbar-tools)"
fi
on_tty 40 qanat core export_client client_name=phone --qr
check_eq "--qr on a narrow terminal: exit status" 1 "$rc"
check_has "--qr on a narrow terminal: says how wide" "$out" 'needs [0-9]+ columns and the terminal has 40'
unfake

# ---- gateways that misbehave ----
fake big
run qanat core export_client client_name=phone --qr
check_eq "too much for a QR code: exit status" 1 "$rc"
check_has "too much for a QR code: says so" "$err" 'QR code holds.*--out FILE'
run qanat core add_client "client_name=$(printf 'x%.0s' {1..100000})"
check_eq "a request that is too long" "1 VALIDATION_ERROR" "$rc $(jq -r .code <<<"$out")"
unfake
fake die
run qanat core add_client client_name=x
check_eq "gateway dies before answering: exit status" 1 "$rc"
check_has "gateway dies before answering: what is not known" "$(jq -r .error <<<"$out")" 'not known whether'
unfake
fake junk
run qanat core list_clients
check_eq "no envelope: exit status" 1 "$rc"
check_eq "no envelope: code" SERVICE_ERROR "$(jq -r .code <<<"$out")"
unfake
fake hostile
on_tty 120 qanat --no-color core list_clients
check_has "hostile names are escaped" "$out" 'laptop\\x1b\[31m'
check_eq "hostile names: no control sequence" 0 "$(grep -c $'\x1b\\|\xe2\x80\xae' <<<"$out")"
on_tty 120 qanat --no-color core export_client client_name=nobody
check_eq "hostile messages: no control sequence" 0 "$(grep -c $'\x1b' <<<"$out")"
on_tty 120 qanat core list_clients --json
check_eq "hostile names in JSON: no control sequence" 0 "$(grep -c $'\x1b\\|\xe2\x80\xae' <<<"$out")"
check_eq "hostile names are not completed" "" "$(qanat completion clients lap)"
unfake
fake
chmod 600 "$sock"
chmod 755 "$work"
run setpriv --reuid 65534 --regid 65534 --clear-groups env "PATH=$PATH" qanat core list_clients
if grep -q 'PERMISSION_ERROR\|Permission denied' <<<"$out$err" && [ "$(jq -r .code <<<"$out" 2>/dev/null)" ]; then
	check_eq "no permission: code" PERMISSION_ERROR "$(jq -r .code <<<"$out")"
	check_has "no permission: what to do" "$(jq -r .error <<<"$out")" 'sudo'
else
	skip "no permission" "the programs are in a directory that others may not read"
fi

# ---- as phantom-api ----
ln -s "$(type -P qanat)" "$work/phantom-api"
run "$work/phantom-api" core list_clients stray page=1
check_eq "phantom-api: stray words are ignored" 3 "$(jq '.data.total' <<<"$out")"
on_tty 120 "$work/phantom-api" core list_clients
check_eq "phantom-api: JSON on a terminal too" true "$(jq .success <<<"$out")"
run "$work/phantom-api"
check_eq "phantom-api without words: exit status" 1 "$rc"
check_has "phantom-api without words: usage" "$out" 'Usage: phantom-api <module> <action>'
for word in --help -h help; do
	run "$work/phantom-api" $word
	check_eq "phantom-api $word: exit status" 0 "$rc"
done
run "$work/phantom-api" nope x
check_eq "phantom-api: unknown module" "1 MODULE_NOT_FOUND" "$rc $(jq -r .code <<<"$out")"
check_has "phantom-api core --help: its name" "$("$work/phantom-api" core --help)" 'Usage: phantom-api core ACTION'
run "$work/phantom-api" --compat-exit nope x
check_eq "phantom-api: unknown module, --compat-exit" 0 "$rc"

# ---- completion ----
complete_at() { # LINE: what bash offers at its end, one a line
	bash -c '
		eval "$(qanat completion bash)"
		COMP_LINE=$1 COMP_POINT=${#1} COMPREPLY=()
		_qanat
		printf "%s\n" "${COMPREPLY[@]}"' _ "$1" | sort
}
check "completion: bash accepts the script" bash -n <(qanat completion bash)
if type -P zsh >/dev/null; then
	qanat completion zsh >"$work/_qanat"
	check "completion: zsh accepts the script" zsh -n "$work/_qanat"
else
	skip "completion: zsh accepts the script" "no zsh"
fi
offers() { check_eq "completion of '$1'" "$2" "$(complete_at "$1" | paste -sd' ')"; }
offers "qanat " "completion core dns net peer serve"
offers "qanat co" "completion core"
offers "qanat core ad" "add_client"
offers "qanat --json core ad" "add_client"
offers "qanat --socket $sock core latest_clients " "count="
offers "qanat core export_client client_name=" "laptop phone tablet"
offers "qanat core export_client client_name=la" "laptop"
offers "qanat core remove_client client_name=ph" "phone"
offers "qanat core add_client client_name=la" ""
offers "qanat core export_client client_name=phone --q" "--qr"
offers "qanat serve --sta" "--started-at --state"
offers "qanat completion " "bash zsh"
offers "qanat core nonsense " ""
offers "qanat peer " "limit why"
offers "qanat peer why la" "laptop"
offers "qanat peer limit laptop rate_" "rate_down= rate_up="
unfake
check_eq "completion without a gateway: nothing, quietly" "" "$(qanat completion clients la 2>&1)"
fake slow
begin=$(date +%s%N)
check_eq "completion with a gateway that hangs: nothing" "" "$(qanat completion clients la 2>&1)"
took=$((($(date +%s%N) - begin) / 1000000))
check "completion with a gateway that hangs: within seconds ($took ms)" test "$took" -lt 5000
unfake

# ---- qanat serve ----
bin=$work/bin state=$work/state
mkdir "$bin" "$state"
cp "$(type -P qanat)" "$bin/qanat"
cp "$here/fake-gateway.py" "$bin/qanat-gateway"
chmod +x "$bin/qanat-gateway"
serve() { # ARGUMENTS...: in the background; $serving is its pid
	rm -f "$sock" "$state/pids"
	: >"$work/serve.log" # spawn empties it too, but only once it runs
	spawn serve.log "$bin/qanat" serve --state "$state" "$@"
	serving=$spawned
}
said() { grep -q -- "$1" "$work/serve.log"; }
child() { tail -n 1 "$state/pids"; }
serve --port 5555 --interface wgx --started-at "$(date +%s.%N)"
check "serve becomes ready" wait_for 20 said 'Ctrl-C stops'
check_has "serve says how long it took" "$(cat "$work/serve.log")" 'ready in [0-9]+\.[0-9] s'
check_has "serve prints the endpoint" "$(cat "$work/serve.log")" 'endpoint +203\.0\.113\.1:51820'
check_has "serve prints the interface" "$(cat "$work/serve.log")" 'interface +wg_main'
check_has "serve names the first client" "$(cat "$work/serve.log")" "client +phone \(new\)"
check "serve draws no QR code without a terminal" sh -c "! grep -qE '█|▀' '$work/serve.log'"
check_has "but says how" "$(cat "$work/serve.log")" "$bin/qanat --socket $sock core export_client client_name=phone --qr"
check_has "serve tells how to add clients" "$(cat "$work/serve.log")" "$bin/qanat --socket $sock core add_client"
check_has "options reach the gateway" "$(cat "$state/args")" "^--state $state --socket $sock --port 5555 --interface wgx --ready-fd [0-9]+$"
kill -KILL "$(child)"
check "a killed gateway is started again" wait_for 20 said 'serves again'
check_has "and it is said why" "$(cat "$work/serve.log")" 'killed by signal 9 \(Killed\): starting it again'
check_eq "two gateways were started" 2 "$(wc -l <"$state/pids")"
last=$(child)
stop "$serving" INT
check_eq "SIGINT ends serve with the gateway's status" 0 "$stopped"
check "the gateway is gone" gone "$last"
check "the gateway stopped by itself" said 'fake gateway stops'
for signal in TERM HUP; do
	serve
	wait_for 20 said 'Ctrl-C stops'
	last=$(child)
	stop "$serving" "$signal"
	check_eq "SIG$signal ends serve" 0 "$stopped"
	check "the gateway is gone after SIG$signal" gone "$last"
done
serve
wait_for 20 said 'Ctrl-C stops'
last=$(child)
kill -KILL "$serving"
check "serve killed: the gateway ends too" wait_for 10 gone "$last"
touch "$state/clients"
serve
wait_for 20 said 'Ctrl-C stops'
check_eq "clients that exist: no other is made" 1 "$(qanat core list_clients | jq .data.total)"
stop "$serving"
rm "$state/clients"
serve_env() { # NAME=VALUE...: serve with these in its environment
	rm -f "$sock"
	: >"$work/serve.log"
	spawn serve.log env "$@" "$bin/qanat" serve --state "$state"
	serving=$spawned
}
serve_env SUDO_USER=somebody
wait_for 20 said 'Ctrl-C stops'
check_has "by sudo: the commands to type have it too" "$(cat "$work/serve.log")" "^  sudo $bin/qanat --socket $sock core add_client"
stop "$serving"
serve --qr
wait_for 20 said 'Ctrl-C stops'
check_has "--qr: drawn without a terminal" "$(cat "$work/serve.log")" '█▀|▄█'
stop "$serving"
# Each crash makes the pause longer: after four it is 4 s.
serve
wait_for 20 said 'Ctrl-C stops'
echo early >"$state/mode"
kill -KILL "$(child)"
check "crashes again and again" wait_for 20 sh -c "[ \$(grep -c 'starting it again' '$work/serve.log') -ge 4 ]"
stop "$serving" INT
check_eq "a stop between two starts: status" 0 "$stopped"
check "a stop between two starts: the host is put back" test -e "$state/cleaned"
rm -f "$state/mode" "$state/cleaned"
serve --no-qr
wait_for 20 said 'Ctrl-C stops'
check "--no-qr" sh -c "! grep -qE '█|▀' '$work/serve.log'"
stop "$serving"
echo nohost >"$state/mode"
serve
check "a gateway without an endpoint serves" wait_for 20 said 'Ctrl-C stops'
check "a gateway without an endpoint: said" said 'the address of this gateway is not known'
stop "$serving"
echo early >"$state/mode"
serve
wait "$serving"
check_eq "a gateway that cannot start: its status" 3 "$?"
check "a gateway that cannot start: its reason" said 'port in use'
echo deaf >"$state/mode"
serve
wait_for 20 said 'Ctrl-C stops'
last=$(child)
kill -TERM "$serving"
check "a gateway that does not stop is killed" wait_for 25 gone "$last"
wait "$serving"
check_eq "a gateway that does not stop: status" 137 "$?"
check "a gateway that does not stop: said" said 'did not stop within 15 s'
check "a gateway that does not stop: the host is put back" test -e "$state/cleaned"
rm "$state/mode"
run "$bin/qanat" serve --client 'bad name' --state "$state"
check_eq "serve: a wrong client name: status" 2 "$rc"
check_has "serve: a wrong client name: said" "$err" '^qanat: --client'
run "$bin/qanat" serve --started-at yesterday --state "$state"
check_eq "serve: a wrong time: status" 2 "$rc"
printf '#!/nonexistent\n' >"$bin/qanat-gateway"
run "$bin/qanat" serve --state "$state"
check_eq "serve with a gateway that cannot be executed: status" 127 "$rc"
check_has "serve with a gateway that cannot be executed: said" "$err" 'exited with status 127 before'
rm "$bin/qanat-gateway"
run env PATH=/nonexistent "$bin/qanat" serve --state "$state"
check_eq "serve without a gateway: status" 1 "$rc"
check_has "serve without a gateway: said" "$err" 'qanat-gateway was not found'
