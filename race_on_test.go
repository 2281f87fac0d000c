//go:build race

package klink_test

const raceEnabled = true
