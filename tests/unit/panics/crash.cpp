// SPDX-License-Identifier: Apache-2.0
// Compiled by test_panics.py, and never run: a place to crash in, two functions deep, one inlined.
namespace device {

struct Sensor {
	volatile int *target;

	void store(int value)
	{
		*target = value; // MARK(store)
	}
};

template <typename T> __attribute__((noipa)) void update(Sensor &sensor, T value)
{
	sensor.store(static_cast<int>(value)); // MARK(update)
	asm volatile("");
}

} // namespace device

extern "C" int entry(device::Sensor *sensor)
{
	device::update<long>(*sensor, 1); // MARK(entry)
	return 1;
}
