"""What Redis runs for the cache, each in one step; `redis.py` says why it is right."""

READ_OR_LEASE = """
local held = redis.pcall('GET', KEYS[1])
if held and not held.err and held ~= ARGV[3] then
    if string.sub(held, 1, 1) == '!' and redis.call('PTTL', KEYS[1]) < 0 then
        redis.call('PEXPIRE', KEYS[1], ARGV[2])
    end
    return held
end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""

"""A tombstone that would stand for ever is not ours, but it may hide a key that was invalidated: it gets our expiry."""

STORE_UNDER_LEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
