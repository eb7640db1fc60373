#!/bin/sh
echo "tool, version $VERSION"
