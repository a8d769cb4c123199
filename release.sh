#!/usr/bin/env bash
# Make a release of what is committed: release.sh 1.2.0 writes the version, dates the changelog, commits and tags.
# Nothing is pushed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

die() {
  printf '%s\n' "$*" >&2
  exit 1
}

version=${1:-}
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || die "usage: $0 MAJOR.MINOR.PATCH"
[[ -z $(git status --porcelain) ]] || die "There are changes that are not committed."
! git rev-parse -q --verify "refs/tags/v$version" >/dev/null || die "There is a release $version already."
grep -q '^## Unreleased$' CHANGELOG.md || die "CHANGELOG.md has nothing under '## Unreleased'."

# Through a file of its own: sed -i is not the same everywhere.
edit() {
  sed "$2" "$1" >"$1.new"
  cat "$1.new" >"$1"
  rm "$1.new"
}
edit kit/src/shopkit/__init__.py "s/^__version__ = .*/__version__ = \"$version\"/"
edit CHANGELOG.md "s/^## Unreleased$/## $version - $(date +%Y-%m-%d)/"
git commit -qam "Release $version"
git tag -a "v$version" -m "Release $version"
echo "Release $version is committed and tagged. Send it out with: git push --follow-tags"
