#!/bin/sh
# Unpack this Debian release's kernel, which has IPVS and SCTP, into a folder of its own.
# usage: install_kernel.sh FOLDER        needs busybox; this system stays as it is
set -eu
folder=$1
[ -e "$folder/vmlinuz" ] && exit 0
# Of several who want it at once, one fetches it.
exec 9>"$folder.lock"
flock 9
[ -e "$folder/vmlinuz" ] && exit 0
work=$folder.new
rm -rf "$work" "$folder"
mkdir -p "$work"
image=$(apt-cache depends --important linux-image-amd64 | sed -n 's/^ *Depends: *\(linux-image-[0-9].*\)$/\1/p' | head -1)
[ -n "$image" ] || { echo "apt knows no kernel image; run apt-get update" >&2; exit 1; }
(cd "$work" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$image")
dpkg-deb --extract "$work"/*.deb "$work"
rm "$work"/*.deb
version=${image#linux-image-}
mv "$work/boot/vmlinuz-$version" "$work/vmlinuz"
busybox depmod -b "$work" "$version"
mv "$work" "$folder"
