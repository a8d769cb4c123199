-- Takes one token out of each of these buckets, or none out of any.
-- A bucket is kept as the time at which it will be full again, and not at all once it is.
-- KEYS: the buckets. ARGV: of each in turn the tokens a second that run in, and how many fit.
-- Returns whether they were taken (1 or 0), then how many are left in each, as texts: Redis would cut off fractions.
local time = redis.call("TIME")
local now = time[1] + time[2] / 1e6
local taken, full_at, left = 1, {}, {}
for i, key in ipairs(KEYS) do
  local rate, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local kept = tonumber(redis.call("GET", key) or now)
  -- No later than if it were empty: the clock may have been set back, or the rate have been another.
  full_at[i] = math.min(math.max(kept, now), now + burst / rate)
  left[i] = burst - (full_at[i] - now) * rate
  if left[i] < 1 then
    taken = 0
  end
end
for i, key in ipairs(KEYS) do
  if taken == 1 then
    full_at[i] = full_at[i] + 1 / ARGV[2 * i - 1]
    left[i] = left[i] - 1
    redis.call("SET", key, string.format("%.6f", full_at[i]), "PX", math.ceil((full_at[i] - now) * 1000))
  end
  left[i] = tostring(left[i])
end
return { taken, unpack(left) }
