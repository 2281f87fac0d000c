package normalize

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// TestDecimal compares decimal with strconv.ParseFloat, near numbers that lie half-way between two float64s too.
func TestDecimal(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	check := func(literal string) {
		t.Helper()
		want, err := strconv.ParseFloat(literal, 64)
		if err != nil {
			t.Fatal(err)
		}
		point := 0
		for point < len(literal) && literal[point] != '.' {
			point++
		}
		got := decimal([]byte(literal), 0, point, len(literal))
		if math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%s: %v, not %v", literal, got, want)
		}
	}
	for range 200000 {
		digits := strconv.FormatUint(random.Uint64N(1e19)>>random.IntN(64), 10)
		point := random.IntN(len(digits)) + 1
		literal := digits[:point]
		if point < len(digits) {
			literal += "." + digits[point:]
		}
		if random.IntN(2) == 0 {
			literal = "-" + literal
		}
		check(literal)
	}
	for range 20000 {
		between := uint64(1)<<53 + uint64(random.IntN(1<<20))*2 + 1
		for _, m := range []uint64{between - 1, between, between + 1} {
			check(fmt.Sprintf("%d.00", m))
			check(fmt.Sprintf("%d.5", m/10))
			check(fmt.Sprintf("0.%d", m))
		}
	}
	for _, literal := range []string{"-0", "0.0", "-0.000000000000000000", "9999999999999999999", "0.000000000000000001"} {
		check(literal)
	}
}

// TestNumbers compares random literals, those with few digits and those that need strconv.
func TestNumbers(t *testing.T) {
	random := rand.New(rand.NewPCG(13, 14))
	for range 20000 {
		f := math.Float64frombits(random.Uint64())
		if math.IsNaN(f) || math.IsInf(f, 0) {
			continue
		}
		literals := []string{
			strconv.FormatFloat(f, 'e', random.IntN(20), 64),
			strconv.FormatFloat(f/1e100, 'f', random.IntN(40), 64),
			strconv.FormatFloat(random.Float64()*1e6, 'f', random.IntN(22), 64),
			strconv.FormatFloat(random.Float64()/1e5, 'f', random.IntN(22), 64),
			strconv.FormatInt(random.Int64()>>random.IntN(63), 10),
		}
		for _, literal := range literals {
			checkJSON(t, []byte(literal), Options{AllowAmbiguous: true})
		}
	}
}
