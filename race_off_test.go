//go:build !race

package klink_test

const raceEnabled = false
