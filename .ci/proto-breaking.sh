#!/usr/bin/env bash
# Fails where a change of proto/ would break what existing clients understand (wire and JSON).
#
# Compared are the contracts of today with those
#   - of main as it was fetched, while HEAD is ahead of it;
#   - of HEAD, while the working tree differs from it;
#   - else of the commit before the last one that changed proto/flymq (a fresh clone, as in CI).
# A break that is meant carries a line `Proto-break: why` in its commit message.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

baseline() {
    local main
    main=$(git rev-parse --quiet --verify origin/main || true)
    if [ -n "$main" ] && [ "$main" != "$(git rev-parse HEAD)" ] && git merge-base --is-ancestor "$main" HEAD; then
        echo "$main"
    elif [ -n "$(git status --porcelain -- proto/flymq)" ]; then
        git rev-parse HEAD
    else
        last=$(git log -n 1 --format=%H HEAD -- proto/flymq)
        [ -z "$last" ] || git rev-parse --quiet --verify "$last^" || true
    fi
}

old=$(baseline)
if [ -z "$old" ] || [ -z "$(git ls-tree --name-only "$old" -- proto/flymq 2>/dev/null)" ]; then
    echo "no earlier contracts to compare with"
    exit 0
fi
declared=$(git log --format=%B "$old..HEAD" | sed -n '/^Proto-break: /p')
if [ -n "$declared" ]; then
    printf 'a break since %s is declared:\n%s\n' "${old:0:12}" "$declared"
    exit 0
fi
against=$(mktemp -d)
trap 'rm -rf "$against"' EXIT
git archive "$old" proto | tar -x -C "$against"
cp buf.yaml "$against/"
.tools/bin/buf breaking --against "$against"
echo "no break since ${old:0:12}"
