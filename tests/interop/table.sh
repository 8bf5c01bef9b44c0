# table.sh - the outcome of src/device/tests/backend_test.c as checks.  Sourced after e2e/lib.sh.

table=${QANAT_TABLE:-$QANAT_BIN/device/test_device_backend}

# table_rows NAME LOG: one check for each row of the table in what the test printed.
table_rows() {
	local name=$1 log=$2 row n=0
	while read -r row; do
		n=$((n + 1))
		case $row in
		*OK*) ok "$name: ${row##* }" ;;
		*) not_ok "$name: ${row##* }" "$(grep -E -A1 '^\[  ERROR' "$log" | tr '\n' ' ' | head -c 500)" ;;
		esac
	done < <(grep -E '^\[ ( +OK|  FAILED ) \] [a-z_]+$' "$log" | awk '!seen[$0]++')
	[ "$n" -gt 0 ] || not_ok "$name" "no row ran: $(head -c 500 "$log")"
}
