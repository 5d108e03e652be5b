#!/bin/sh
# Do the units load, and do they keep their promise of confinement? Offline: nothing is installed or
# started. Usage: check-units.sh UNIT_FOLDER SOURCE_FOLDER PROGRAM_FOLDER...
# UNIT_FOLDER holds the generated services, SOURCE_FOLDER the rest; the programs they start are stood in for by /bin/true.
set -eu

units=$1 source=$2
shift 2
if ! command -v systemd-analyze >/dev/null; then
    echo "1..0 # SKIP systemd-analyze is not installed"
    exit 77
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
folder=$root/etc/systemd/system
mkdir -p "$folder" "$root/usr/lib/systemd" "$root/bin"
cp -r /usr/lib/systemd/system "$root/usr/lib/systemd/system"
cp /bin/true "$root/bin/kill"
for program_folder in "$@"; do
    mkdir -p "$root$program_folder"
    for program in vestibuled vestibule-api vestibule-xmpp vestibule-sms vestibule-email \
        vestibule-relay-client vestibule-relay; do
        cp /bin/true "$root$program_folder/$program"
    done
done
cp "$units"/*.service "$source"/*.socket "$folder"
mkdir "$folder/vestibule-api@operators.service.d"
cp "$source/operators.conf" "$folder/vestibule-api@operators.service.d"

instance() {
    ln -s "$1@.$3" "$folder/$1@$2.$3"
}
instance vestibule-api tenants service
instance vestibule-api operators service
instance vestibule-relay-client main service
instance vestibule-plugin tenants socket
instance vestibule-plugin operators socket
instance vestibule-plugin relay-main socket
instance vestibule-sms sms service
instance vestibule-plugin sms socket
if [ -e "$folder/vestibule-xmpp@.service" ]; then
    instance vestibule-xmpp xmpp service
    instance vestibule-plugin xmpp socket
fi
if [ -e "$folder/vestibule-email@.service" ]; then
    instance vestibule-email email service
    instance vestibule-plugin email socket
fi

n=0 n_failed=0
report() {
    n=$((n + 1))
    if [ "$2" -eq 0 ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        n_failed=$((n_failed + 1))
        printf '%s\n' "$output" | tail -n 20 | sed 's/^/# /'
    fi
}

# systemd-analyze ends with 0 after some warnings, such as an unknown key: whatever it says about us counts.
verifies() {
    output=$(systemd-analyze verify --man=no --root="$root" "$1" 2>&1) || return 1
    ! printf '%s\n' "$output" | grep -q vestibule
}

# The threshold is the exposure times ten.
confined() {
    output=$(systemd-analyze security --offline=yes --no-pager --threshold="$2" --root="$root" "$1" 2>&1)
}

for path in "$folder"/*.socket "$folder"/*.service; do
    unit=${path##*/}
    case $unit in
        *@.*) continue ;;
    esac
    if verifies "$unit"; then report "$unit loads" 0; else report "$unit loads" 1; fi
    case $unit in
        *.socket) continue ;;
        vestibuled.service | vestibule-api@*) most=5 ;;
        *) most=15 ;;
    esac
    if confined "$unit" "$most"; then
        report "$unit is exposed by at most $((most / 10)).$((most % 10))" 0
    else
        report "$unit is exposed by at most $((most / 10)).$((most % 10))" 1
    fi
    printf '%s\n' "$output" | sed -n 's/.*Overall exposure/# overall exposure/p'
done

# Every user that a unit names is made, and every socket has its service.
users=$(sed -n 's/^u \([^ ]*\).*/\1/p' "$source/vestibule-sysusers.conf")
output=
for user in vestibule vestibule-tenants vestibule-operators vestibule-xmpp vestibule-sms vestibule-email \
    vestibule-relay-main vestibule-relay; do
    printf '%s\n' "$users" | grep -qx "$user" || output="$output $user"
done
if [ -z "$output" ]; then report "every unit's user is made" 0; else report "every unit's user is made" 1; fi

echo "1..$n"
exit "$((n_failed > 0))"
