r"""The Lua scripts of the Redis store. Each touches one key, so it runs on Redis Cluster too.

A session is one hash. Names of an application's fields are UTF-8; the store's own begin
with the byte 255, which UTF-8 never holds, so the two cannot meet:

==========  ==========================================================================
``\255m``   meta: generation, epoch, touched, expires (milliseconds), blank between
``\255c``   the last 16 to 32 commits: 12 bytes of the id's digest, length, ``:``, answer
``\255n``   who made it, so that a create that is repeated knows its own record
``\255t``   an alias: the key the record was moved to; such a hash is no live record
``\255h``   the move is not finished; holds whether the alias will be followed then
``\255f``   an alias that loads and atomic operations follow until it expires
==========  ==========================================================================

An answer is one string: C and each result (``i<digits>;``, ``b<length>:<bytes>`` or ``n``),
R revoked, X conflict, M and the key it was moved to, W a move under way that can be waited
for. Sums are done by HINCRBY and read back as text: Lua's numbers lose what is over 2**53.

A script cannot be rolled back, so COMMIT first works out what every field will hold, the
sums in a scratch field, and only then writes. HSET comes before what a full server would
let pass, so that it refuses the whole (https://redis.io/docs/latest/develop/programmability).
Without operations it has nothing to work out: five calls, some 9 us of the server.

A hash whose meta is not like that is no record: COMMIT and TOUCH pass it by, DELETE takes it.
"""

from __future__ import annotations

from hashlib import sha1

META, MEMORY, MAKER = b"\xffm", b"\xffc", b"\xffn"
TO, MOVING, FOLLOW = b"\xfft", b"\xffh", b"\xfff"


class Script:
    """A script's text, and its SHA-1, by which EVALSHA finds it."""

    def __init__(self, text: str) -> None:
        self.text = _COMMON + text
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


_COMMON = r"""
local key = KEYS[1]
local META, MEMORY, MAKER, TO, MOVING, FOLLOW =
  '\255m', '\255c', '\255n', '\255t', '\255h', '\255f'

-- generation and epoch that a meta field holds, or nil
local function parse(meta) return string.match(meta, '^(%d+) (%d+) %d+ %d+$') end

-- generation, epoch and commits of the live record, or nil
local function live(epoch)
  local got = redis.call('HMGET', key, META, TO, MEMORY)
  if not got[1] or got[2] then return nil end
  local generation, born = parse(got[1])
  if generation and tonumber(born) >= tonumber(epoch) then
    return generation, born, got[3] or ''
  end
end

-- Lua passes no more than some thousand values at once
local function each(command, first, last)
  for i = first, last, 1000 do
    redis.call(command, key, unpack(ARGV, i, math.min(i + 999, last)))
  end
end

-- writes meta and what else is given; returns when the record expires. That is set last: a
-- time that has come by then removes the key, and a later write would make another, for ever
local function renew(generation, epoch, ttl, ...)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local expires = string.format('%.0f', now + ttl)
  redis.call('HSET', key, META,
    generation .. ' ' .. epoch .. ' ' .. string.format('%.0f', now) .. ' ' .. expires, ...)
  return expires
end
"""

#: epoch, generation, ttl in ms, maker, then fields and values -> 1, or 0 if there is another
CREATE = Script(r"""
if redis.call('EXISTS', key) == 1 then
  return redis.call('HGET', key, MAKER) == ARGV[4] and 1 or 0
end
local expires = renew(ARGV[2], ARGV[1], ARGV[3], MAKER, ARGV[4])
each('HSET', 5, #ARGV)
redis.call('PEXPIREAT', key, expires)
return 1
""")

#: epoch, ttl in ms -> 1, or 0 if there is no live record
TOUCH = Script(r"""
local generation, born = live(ARGV[1])
if not generation then return 0 end
redis.call('PEXPIREAT', key, renew(generation, born, ARGV[2]))
return 1
""")

#: epoch, generation (by an alias * if any will do, - if none), ttl in ms, id, how many
#: arguments the deleted take and the set (field, value), these; if there are operations:
#: clear, and counts and what they count: expected (field, is there, value), operations (kind,
#: field, amount) -> an answer
COMMIT = Script(r"""
local generation, born, memory = live(ARGV[1])
if not generation then
  local to = redis.call('HMGET', key, TO, MOVING, FOLLOW)
  if to[2] == '1' then return 'W' end
  return to[1] and to[3] and 'M' .. to[1] or 'R'
end

local id = ARGV[4]
if #memory > 480 or string.find(memory, id, 1, true) then
  local position, count, keep = 1, 0, #memory
  while position <= #memory do
    local length, start = string.match(memory, '^(%d+):()', position + 12)
    if not length then return 'R' end
    local stop = start + length - 1
    if string.sub(memory, position, position + 11) == id then
      return string.sub(memory, start, stop)
    end
    count = count + 1
    if count == 15 then keep = stop end
    position = stop + 1
  end
  memory = string.sub(memory, 1, keep)
end

if ARGV[2] == '-' then return 'R' end
if ARGV[2] ~= '*' and ARGV[2] ~= generation then return 'X' end
local sets = 7 + ARGV[5]
local at = sets + ARGV[6]
if at > #ARGV then
  local expires = renew(generation, born, ARGV[3], MEMORY, id .. '1:C' .. memory)
  each('HSET', sets, at - 1)
  each('HDEL', 7, sets - 1)
  redis.call('PEXPIREAT', key, expires)
  return 'C'
end

local clear, after, answer = ARGV[at] == '1', {}, {'C'}
local function take() at = at + 1; return ARGV[at] end
for _ = 1, take() do
  local is = redis.call('HGET', key, take())
  local there, value = take() == '1', take()
  if is ~= (there and value) then return 'X' end
end

local function held(field)
  local value = after[field]
  if value == nil then value = not clear and redis.call('HGET', key, field) end
  return value
end
for i = 7, sets - 1 do after[ARGV[i]] = false end
for i = sets, sets + ARGV[6] - 1, 2 do after[ARGV[i]] = ARGV[i + 1] end
for _ = 1, take() do
  local kind, field, amount, result = take(), take(), take(), 'n'
  if kind == 'i' then
    redis.call('HSET', key, '\255s', held(field) or '0')
    local sum = redis.pcall('HINCRBY', key, '\255s', amount)
    after[field] = redis.call('HGET', key, '\255s')
    redis.call('HDEL', key, '\255s')
    if type(sum) == 'table' then return 'X' end
    result = 'i' .. after[field] .. ';'
  elseif kind == 't' then
    local value = held(field)
    if value then result = 'b' .. #value .. ':' .. value end
    after[field] = false
  end
  answer[#answer + 1] = result
end

answer = table.concat(answer)
if clear then
  redis.call('DEL', key)
  generation = string.format('%.0f', generation + 1)
end
local expires =
  renew(generation, born, ARGV[3], MEMORY, id .. #answer .. ':' .. answer .. memory)
for field, value in pairs(after) do
  if value then redis.call('HSET', key, field, value) else redis.call('HDEL', key, field) end
end
redis.call('PEXPIREAT', key, expires)
return answer
""")

#: epoch, new key, whether it will be followed, ms to keep what is left -> the hash; nil if none
LEAVE = Script(r"""
if redis.call('HGET', key, TO) == ARGV[2] then return redis.call('HGETALL', key) end
if not live(ARGV[1]) then return nil end
redis.call('HSET', key, TO, ARGV[2], MOVING, ARGV[3])
redis.call('PEXPIRE', key, ARGV[4])
return redis.call('HGETALL', key)
""")

#: new key, whether it will be followed, ms to keep -> 1; 0 if it was removed in between
SETTLE = Script(r"""
if redis.call('HGET', key, TO) ~= ARGV[1] then return 0 end
redis.call('DEL', key)
redis.call('HSET', key, TO, ARGV[1])
if ARGV[2] == '1' then redis.call('HSET', key, FOLLOW, '1') end
redis.call('PEXPIRE', key, ARGV[3])
return 1
""")

#: epoch -> 1 if there was a live record, one on the move, or a hash that is none; M and a key
#: if the record lies there now
DELETE = Script(r"""
local to = redis.call('HMGET', key, TO, MOVING, FOLLOW, META)
if to[1] and not (to[2] or to[3]) then return 0 end
local counts = to[2] or live(ARGV[1])
if not (counts or to[1] or parse(to[4] or '')) then counts = redis.call('EXISTS', key) == 1 end
redis.call('DEL', key)
if to[3] then return 'M' .. to[1] end
return counts and 1 or 0
""")

#: epoch, user, key to keep -> 1 if a live record of the user was removed; aliases go along
REVOKE = Script(r"""
local to = redis.call('HGET', key, TO)
if to and to == ARGV[3] then return 0 end
if not to and redis.call('HGET', key, '\0user') ~= ARGV[2] then return 0 end
local counts = live(ARGV[1]) and 1 or 0
redis.call('DEL', key)
return counts
""")

#: epoch -> 1 if a live record was removed; whatever there is goes
DROP = Script(r"""
local counts = live(ARGV[1]) and 1 or 0
redis.call('DEL', key)
return counts
""")

#: member -> how many there are; the user's index, scored by when they came
INDEX = Script(r"""
redis.call('ZADD', key, redis.call('TIME')[1], ARGV[1])
return redis.call('ZCARD', key)
""")

#: seconds a member has to be old, then members -> how many of them were dropped
HEAL = Script(r"""
local dropped, latest = 0, redis.call('TIME')[1] - ARGV[1]
for i = 2, #ARGV do
  local came = redis.call('ZSCORE', key, ARGV[i])
  if came and tonumber(came) <= latest then dropped = dropped + redis.call('ZREM', key, ARGV[i]) end
end
return dropped
""")

#: -> the new epoch, later than the old one and than any lost one
BUMP = Script(r"""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local epoch = string.format('%.0f', math.max(now, (redis.call('GET', key) or 0) + 1))
redis.call('SET', key, epoch)
return epoch
""")
