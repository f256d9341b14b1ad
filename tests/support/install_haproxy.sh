#!/bin/sh
# Unpack the HAProxy of another Debian release, with the libraries it needs, into a folder of its own.
# usage: install_haproxy.sh SUITE FOLDER        FOLDER/haproxy then runs it; this system stays as it is
# The mirror is the one that this system's apt uses; apt's state for it lives in the folder for the while.
set -eu
suite=$1
folder=$2
# The libraries that Debian's haproxy links to, theirs included, and the C library that they were built for.
packages="haproxy libc6 libcap2 libcrypt1 libjemalloc2 liblua5.4-0 libpcre2-8-0 libssl3t64 libsystemd0 libzstd1 zlib1g"

[ -x "$folder/haproxy" ] && exit 0
# Of several who want it at once, one fetches it.
exec 9>"$folder.lock"
flock 9
[ -x "$folder/haproxy" ] && exit 0
work=$folder.new
rm -rf "$work" "$folder"
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/root"
: >"$work/status"
host=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk -v release="$host" '$2 == release && $3 == "main" {print $1; exit}')
[ -n "$mirror" ] || { echo "apt knows no mirror of the release $host to fetch $suite from" >&2; exit 1; }
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] $mirror $suite main" >"$work/sources.list"

apt() {
    apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State="$work/state" -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" \
        -o Acquire::Languages=none -o APT::Sandbox::User="$(id -un)" "$@"
}
apt update
(cd "$work/root" && apt download $packages)
for archive in "$work"/root/*.deb; do
    dpkg-deb --extract "$archive" "$work/root"
    rm "$archive"
done
rm -rf "$work/state" "$work/cache" "$work/status" "$work/sources.list"

# Its own loader and libraries, whatever this system has. A master that reloads executes its own argv[0].
cat >"$work/haproxy" <<'RUN'
#!/bin/sh
own=$(readlink -f "$0")
root=${own%/*}/root
loader=$(echo "$root"/usr/lib/*-linux-gnu/ld-linux-*.so.*)
exec "$loader" --argv0 "$own" --library-path "${loader%/*}" "$root/usr/sbin/haproxy" "$@"
RUN
chmod 755 "$work/haproxy"
# A library that the list above lacks shows here, not in some test later.
"$work/haproxy" -v >"$work/version"
head -1 "$work/version"
mv "$work" "$folder"
