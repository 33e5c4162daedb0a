#!/bin/sh
# compile.sh CCACHE COMPILER...: the compiler through ccache, which leaves sources with precompiled headers alone
# unless told so. A precompiled header must not read the one that it replaces: builds could not share it. Paths count
# from this tree on, so that its copies share what they compile.
# SPDX-License-Identifier: Apache-2.0
export CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_NOHASHDIR=1 CCACHE_BASEDIR="${0%/cmake/compile.sh}"
case "$*" in
*"-x c++-header"*)
  previous=
  for word; do
    if [ "$previous" = -o ]; then rm -f "$word"; fi
    previous=$word
  done
  ;;
esac
exec "$@"
