# debian-packages.sh - the Debian packages that building, running and checking Qanat need, and how
# they are installed.  Sourced by quickstart and check (bash, Debian 12 and 13).

# The sanitizers' runtime carries clang's version in its name.
clang_runtime_package() {
	case $(. /etc/os-release && echo "${VERSION_ID:-}") in
	12) echo libclang-rt-14-dev ;;
	13) echo libclang-rt-19-dev ;;
	*) apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/libclang-rt-\1-dev/p' ;;
	esac
}

# Debian 13 has llhttp, before that there is its elder.
http_parser_package() {
	case $(. /etc/os-release && echo "${ID:-} ${VERSION_ID:-}") in
	"debian 12" | "ubuntu 2"[0-4]*) echo libhttp-parser-dev ;;
	*) echo libllhttp-dev ;;
	esac
}

QANAT_BUILD_PACKAGES="gcc libc6-dev meson ninja-build pkg-config libssl-dev libsodium-dev libmnl-dev libseccomp-dev
	libsqlite3-dev libqrencode-dev libjansson-dev libnghttp2-dev $(http_parser_package)"
QANAT_RUNTIME_PACKAGES="nftables"
QANAT_CHECK_PACKAGES="libcmocka-dev clang clang-format $(clang_runtime_package)
	wireguard-tools wireguard-go iperf3 iproute2 iputils-ping socat curl jq openssl bind9-dnsutils tcpdump
	python3 python3-minimal zsh strace valgrind ethtool mandoc procps xxd zbar-tools binutils util-linux systemd"
# For a virtual machine whose kernel has WireGuard (tests/interop).
QANAT_GUEST_PACKAGES="qemu-system-x86 busybox-static cpio kmod xz-utils"

# packages_missing PACKAGE...: prints those that are not installed.
packages_missing() {
	local have p
	have=" $(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
		sed -n 's/^installed //p' | tr '\n' ' ') "
	for p; do
		case $have in *" $p "*) ;; *) echo "$p" ;; esac
	done
}

# user_ensure: the user that a gateway's control process becomes (docs/operations/security.md).
user_ensure() {
	id -u qanat >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ] ||
		useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin qanat
}

# install_packages PACKAGE...: installs what is missing, quietly; on failure says where apt's own
# words are: in the file QANAT_APT_LOG, or a new one in /tmp.
install_packages() {
	local log missing
	missing=$(packages_missing "$@")
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" -ne 0 ]; then
		echo "missing packages, run as root: apt-get install --no-install-recommends" $missing >&2
		return 1
	fi
	log=${QANAT_APT_LOG:-$(mktemp /tmp/qanat-apt.XXXXXX)}
	echo "installing" $missing
	# The lists on a fresh machine are empty, on an old one they name versions that are gone: fetch
	# them only when an install fails without.
	if ! apt_install $missing >"$log" 2>&1; then
		if ! { apt-get -q update </dev/null && apt_install $missing; } >>"$log" 2>&1; then
			tail -n 3 "$log" >&2
			echo "apt-get could not install the packages above; all it said: $log" >&2
			return 1
		fi
	fi
}

apt_install() {
	DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 \
		install --no-install-recommends "$@" </dev/null
}
