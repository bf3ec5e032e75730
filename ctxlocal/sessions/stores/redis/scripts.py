r"""The Lua scripts of the Redis store. Each touches one key, so it runs on Redis Cluster too.

A session is one hash. Names of an application's fields are UTF-8; the store's own begin
with the byte 255, which UTF-8 never holds, so the two cannot meet:

==========  ==========================================================================
``\255m``   meta: generation, birth (microseconds), touched, expires (milliseconds)
``\255c``   the last 16 to 32 commits: 12 bytes of the id's digest, length, ``:``, answer; and
            at the end, like one, the turn in which older ones were put by
``\255n``   the session's number, 12 random bytes that stay with it through every move; a
            create that is repeated knows its own record by it
``\255i``   since when it is its user's, and when his index was last seen to have it
            (microseconds); a record of nobody's has none
``\255g``   until when a key it had before may lead here (milliseconds)
``\255t``   link: end of this key's grace (0: none), time of the move (both microseconds),
            generation, and the key the record was moved to
``\255p``   pending: the key that has yet to leave its record here
==========  ==========================================================================

How a record moves from the key A to B, which lie on two nodes of a cluster, without a lock
and without an instant in which it is nowhere:

1. STUB: B becomes *pending*, a hash that says no more than to ask A.
2. LEAVE: A gets the link to B, and holds the record as B is to have it. In this instant the
   record is moved: it is B's. A's copy cannot change any more (A is *left*).
3. WRITE: the copy goes to B, if B still waits for it.
4. FINISH: A drops the copy (A is an *alias*). If A was removed, B has nothing to wait for.
5. CONFIRM: B no longer asks A.

Whoever meets a key that is left does steps 3 and 4 himself, so nobody waits for a mover that
stalls or died. A record is removed where it lies: A before the fourth step, where that then
fails, B after it. Until the fifth B counts for nothing on its own, only if A leads to it.

A key whose grace runs leads to the next one, and that one on, by links that live as long as
any grace that needs them; so each grace ends at its own time. Each renewal also leaves the
newest key in a *trail*, a key of its own named for the session and its generation: who has
passed two links jumps there. The next generation has another trail, so none passes a move
without a grace. An alias without one is kept a while for those who want the record removed.

An answer of COMMIT is one string: C and each result (``i<digits>;``, ``b<length>:<bytes>`` or
``n``), R revoked, X conflict. Sums are done by HINCRBY and read back as text: Lua's numbers lose
what is over 2**53. A list tells where to go on: ``pending`` and the key to ask, ``left`` and
the hash, ``alias`` and the next key, the number and the generation; the last two with when
the walk began. That, the *way*, goes into the next script, blank by the first key.

A script cannot be rolled back, so COMMIT first works out what every field will hold, the
sums in a scratch field, and only then writes. HSET comes before what a full server would
let pass, so that it refuses the whole (https://redis.io/docs/latest/develop/programmability).
Without operations it has nothing to work out: four calls, before any of what the scripts have in
common is set up, in three quarters of the server's time.

A commit whose reply got lost comes again after what the store, or its client, takes for that,
however many others came in between. So those that the record no longer holds are *put by* for
KEPT_SECONDS at least, in a hash for each turn of so long, which expires: ``done:{its key}:turn``,
in the record's slot. LEAVE takes them along within the record.

A hash whose meta is not like that is no record: COMMIT and TOUCH pass it by, DELETE takes it.
"""

from __future__ import annotations

from hashlib import sha1

META, MEMORY, NUMBER, INDEXED = b"\xffm", b"\xffc", b"\xffn", b"\xffi"
GRACES, TO, PENDING = b"\xffg", b"\xfft", b"\xffp"

#: The longest that a cookie lives, 400 days: for which it stays what sessions a user had, and when
#: they were ended, though none of them comes again
LONGEST = 400 * 86400
#: For which any commit is known again. redis-py's 10 retries, with a pause of up to 1 second and
#: timeouts of 5 to connect and 5 to read, end after 120, and the store asks twice
KEPT_SECONDS = 300


class Script:
    """A script's text, and its SHA-1, by which EVALSHA finds it.

    :param first: comes before what all have in common, which takes time to set up.
    """

    def __init__(self, text: str, first: str = "") -> None:
        text = first + _COMMON + text
        self.text = text.replace("KEPT", str(KEPT_SECONDS)).replace("LONGEST", str(LONGEST))
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


_COMMON = r"""
local key = KEYS[1]
local META, MEMORY, NUMBER, INDEXED, GRACES, TO, PENDING =
  '\255m', '\255c', '\255n', '\255i', '\255g', '\255t', '\255p'

local function digits(number) return string.format('%.0f', number) end

-- microseconds
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- generation and birth that a meta field holds, if that is later than everyone's end
local function alive(meta, epoch)
  local generation, born = string.match(meta or '', '^(%d+) (%d+) %d+ %d+$')
  if generation and tonumber(born) > tonumber(epoch) then return generation, born end
end

-- generation, birth and commits of the live record, or nil
local function live(epoch, way)
  local got = redis.call('HMGET', key, META, TO, PENDING, MEMORY)
  if got[2] or got[3] and way == '' then return nil end
  local generation, born = alive(got[1], epoch)
  return generation, born, got[4] or ''
end

-- end of the grace, time of the move, generation and next key that a link holds, or nil
local function parse(link) return string.match(link or '', '^(%d+) (%d+) (%d+) (.*)$') end

-- where to go on if there is no record here, or nil; who is chasing passes what was moved
-- without a grace since he began
local function elsewhere(way, chasing)
  local got = redis.call('HMGET', key, TO, PENDING, META, NUMBER)
  local till, moved, generation, to = parse(got[1])
  if not to then return got[2] and way == '' and {'pending', got[2]} or nil end
  local is_open
  if way == '' then
    local time = now()
    way, is_open = digits(time), tonumber(till) > time
  else
    is_open = till ~= '0' or chasing and tonumber(moved) >= tonumber(way)
  end
  if not is_open then return nil end
  if got[3] then return {'left', way, redis.call('HGETALL', key)} end
  return {'alias', way, to, got[4] or '', generation}
end

-- Lua passes no more than some thousand values at once
local function each(command, first, last)
  for i = first, last, 1000 do
    redis.call(command, key, unpack(ARGV, i, math.min(i + 999, last)))
  end
end

-- commits that are put by: the turn in which that is, where, and what says so in the record
local PUT_BY = '\255put by here'
local function turn() return math.floor(now() / 1000000 / KEPT) end
local function place(turn)
  return string.match(key, '^(.*)session:') .. 'done:{' .. key .. '}:' .. digits(turn)
end

-- the turns in which commits may still be put by
local function turns(memory)
  local last = string.sub(memory, -25, -14) == PUT_BY and tonumber(string.sub(memory, -10))
  if not last then return {} end
  local current = turn()
  return last >= current - 1 and {current, current - 1} or {}
end

-- writes what is there again, and changes nothing: replicas are asked for a connection's last
-- write, so there has to be one, also where the work was done before
local function rewrite()
  local left = redis.call('PTTL', key)
  if left > 0 then redis.call('PEXPIRE', key, left) end
end

-- fills in the time of a record that has just become a user's
local function enlist()
  if redis.call('HGET', key, INDEXED) == '' then
    local time = digits(now())
    redis.call('HSET', key, INDEXED, time .. ' ' .. time)
  end
end

-- writes meta and what else is given; returns when the record expires. That is set last: a
-- time that has come by then removes the key, and a later write would make another, for ever
local function renew(generation, born, ttl, ...)
  local time = math.floor(now() / 1000)
  local expires = digits(time + ttl)
  redis.call('HSET', key, META,
    generation .. ' ' .. born .. ' ' .. digits(time) .. ' ' .. expires, ...)
  return expires
end
"""

#: epoch, ttl in ms, number, then fields and values -> 1, or 0 if there is another
CREATE = Script(r"""
if redis.call('EXISTS', key) == 1 then
  if redis.call('HGET', key, NUMBER) ~= ARGV[3] then return 0 end
  rewrite()
  return 1
end
local born = digits(math.max(now(), ARGV[1] + 1))
local expires = renew('0', born, ARGV[2], NUMBER, ARGV[3])
each('HSET', 4, #ARGV)
enlist()
redis.call('PEXPIREAT', key, expires)
return 1
""")

#: epoch, way -> record and the hash
READ = Script(r"""
local found = elsewhere(ARGV[2])
if found and found[1] == 'left' then return {'record', found[3]} end
if found or redis.call('HEXISTS', key, TO) == 1 then return found end
return {'record', redis.call('HGETALL', key)}
""")

#: epoch, way, ttl in ms -> 1, or 0 if there is no live record
TOUCH = Script(r"""
local generation, born = live(ARGV[1], ARGV[2])
if not generation then return elsewhere(ARGV[2]) or 0 end
redis.call('PEXPIREAT', key, renew(generation, born, ARGV[3]))
return 1
""")

# What most commits are: no operations, a record that lies here and is of the same generation, an id
# that is new, and a memory that has room for it. All else is left to the script that follows
_PLAIN_COMMIT = r"""
local function commit()
  local key, id, sets, call = KEYS[1], ARGV[5], 8 + ARGV[6], redis.call
  if sets + ARGV[7] <= #ARGV or #ARGV > 1000 then return end
  local got = call('HMGET', key, '\255m', '\255t', '\255p', '\255c')
  local generation, born = string.match(got[1] or '', '^(%d+) (%d+) %d+ %d+$')
  if generation ~= ARGV[3] or got[2] or got[3] then return end
  if ARGV[1] ~= '0' and tonumber(born) <= tonumber(ARGV[1]) then return end
  local memory = got[4] or ''
  if #memory > 480 or string.find(memory, id, 1, true) then return end
  local time = call('TIME')
  if string.sub(memory, -25, -14) == '\255put by here' then
    local turn, last = math.floor(time[1] / KEPT), tonumber(string.sub(memory, -10))
    if last and last >= turn - 1 then
      local place = string.match(key, '^(.*)session:') .. 'done:{' .. key .. '}:'
      if call('HGET', place .. turn, id) or call('HGET', place .. turn - 1, id) then return end
    end
  end
  local milliseconds = math.floor(time[2] / 1000)
  local expires = time[1] * 1000 + milliseconds + ARGV[4]
  call('HSET', key, '\255m',
    string.format('%s %s %s%03d %.0f', generation, born, time[1], milliseconds, expires),
    '\255c', id .. '1:C' .. memory, unpack(ARGV, sets))
  if sets > 8 then call('HDEL', key, unpack(ARGV, 8, sets - 1)) end
  call('PEXPIREAT', key, expires)
  return 'C'
end
local done = commit()
if done then return done end
"""

#: epoch, way, generation, ttl in ms, id, how many arguments the deleted take and the set (field,
#: value), these; if there are operations: clear, and counts and what they count: expected
#: (field, is there, value), operations (kind, field, amount) -> an answer
COMMIT = Script(
    first=_PLAIN_COMMIT,
    text=r"""
local generation, born, memory = live(ARGV[1], ARGV[2])
if not generation then return elsewhere(ARGV[2]) or 'R' end

local id = ARGV[5]
for _, each in ipairs(turns(memory)) do
  local before = redis.call('HGET', place(each), id)
  if before then rewrite(); return before end
end
if #memory > 480 or string.find(memory, id, 1, true) then
  local position, count, keep, older = 1, 0, #memory, {}
  while position <= #memory do
    local length, start = string.match(memory, '^(%d+):()', position + 12)
    if not length then return 'R' end
    local stop = start + length - 1
    local this = string.sub(memory, position, position + 11)
    local before = string.sub(memory, start, stop)
    if this == id then rewrite(); return before end
    count = count + 1
    if count == 15 then keep = stop end
    if count > 15 and this ~= PUT_BY then
      older[#older + 1], older[#older + 2] = this, before
    end
    position = stop + 1
  end
  if #older > 0 then
    local current = turn()
    for i = 1, #older, 1000 do
      redis.call('HSET', place(current), unpack(older, i, math.min(i + 999, #older)))
    end
    redis.call('EXPIRE', place(current), 2 * KEPT)
    memory = string.sub(memory, 1, keep) .. PUT_BY .. '10:' .. string.format('%010.0f', current)
  end
end

if ARGV[3] ~= generation then return 'X' end
local sets = 8 + ARGV[6]
local at = sets + ARGV[7]
local clear, after, answer = ARGV[at] == '1', {}, {'C'}
local function take() at = at + 1; return ARGV[at] or 0 end
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
for i = 8, sets - 1 do after[ARGV[i]] = false end
for i = sets, sets + ARGV[7] - 1, 2 do after[ARGV[i]] = ARGV[i + 1] end
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
  for _, field in ipairs({NUMBER, INDEXED, GRACES, PENDING}) do
    after[field] = redis.call('HGET', key, field)
  end
  redis.call('DEL', key)
  generation = digits(generation + 1)
end
local expires =
  renew(generation, born, ARGV[4], MEMORY, id .. #answer .. ':' .. answer .. memory)
for field, value in pairs(after) do
  if value then redis.call('HSET', key, field, value) else redis.call('HDEL', key, field) end
end
redis.call('PEXPIREAT', key, expires)
return answer
""",
)

#: epoch, way, new key -> record and its user; moved, if it went to that key
FIND = Script(r"""
local _, _, _, to = parse(redis.call('HGET', key, TO))
if to == ARGV[3] then
  if redis.call('HEXISTS', key, META) == 0 then return {'moved'} end
  return {'left', '0', redis.call('HGETALL', key)}
end
if live(ARGV[1], ARGV[2]) then return {'record', redis.call('HGET', key, '\0user')} end
return elsewhere(ARGV[2])
""")

#: old key, ms to live -> 1, or 0 if there is something else
STUB = Script(r"""
if redis.call('EXISTS', key) == 1 then
  return redis.call('HGET', key, PENDING) == ARGV[1] and 1 or 0
end
redis.call('HSET', key, PENDING, ARGV[1])
redis.call('PEXPIRE', key, ARGV[2])
return 1
""")

#: epoch, new key, ttl in ms, grace in ms, then fields and values -> left, - and the hash
LEAVE = Script(r"""
local _, _, _, to = parse(redis.call('HGET', key, TO))
if to ~= ARGV[2] then
  local generation, born = live(ARGV[1], '0')
  if not generation then return nil end
  local moved, till, graces = now(), 0, 0
  local memory = redis.call('HGET', key, MEMORY) or ''
  local last = turns(memory)
  if #last > 0 then
    local all = {memory}
    for _, each in ipairs(last) do
      local older = redis.call('HGETALL', place(each))
      for i = 1, #older, 2 do all[#all + 1] = older[i] .. #older[i + 1] .. ':' .. older[i + 1] end
    end
    redis.call('HSET', key, MEMORY, table.concat(all))
  end
  if ARGV[4] == '0' then
    generation = digits(generation + 1)
  else
    till = moved + ARGV[4] * 1000
    graces = math.max(till / 1000, tonumber(redis.call('HGET', key, GRACES) or 0))
  end
  local expires = renew(generation, born, ARGV[3], GRACES, digits(graces),
    TO, digits(till) .. ' ' .. digits(moved) .. ' ' .. generation .. ' ' .. ARGV[2])
  each('HSET', 5, #ARGV)
  enlist()
  redis.call('HDEL', key, PENDING)
  redis.call('PEXPIREAT', key, expires)
end
return {'left', '0', redis.call('HGETALL', key)}
""")

#: old key, then fields and values -> 1, or 0 if there is nothing that waits for them, or ever did.
#: HDEL lets a full server pass the rest: what was left has to come here
WRITE = Script(r"""
local got = redis.call('HMGET', key, PENDING, META)
if got[1] == ARGV[1] and not got[2] then
  redis.call('HDEL', key, META)
  each('HSET', 2, #ARGV)
  local expires = string.match(redis.call('HGET', key, META), '%d+$')
  redis.call('PEXPIREAT', key, expires)
end
return redis.call('EXISTS', key)
""")

#: new key, ms to keep the alias -> how long it is kept; 0 if the record was removed
FINISH = Script(r"""
local link, meta, number, graces = unpack(redis.call('HMGET', key, TO, META, NUMBER, GRACES))
local _, _, _, to = parse(link)
if to ~= ARGV[1] then return 0 end
if meta then
  redis.call('DEL', key)
  redis.call('HSET', key, TO, link, NUMBER, number or '')
  local last = math.max(math.floor(now() / 1000), tonumber(graces))
  redis.call('PEXPIREAT', key, digits(last + ARGV[2]))
else
  rewrite()
end
return redis.call('PTTL', key)
""")

#: -> 1; 0 if the record was removed
CONFIRM = Script(r"""
if redis.call('HDEL', key, PENDING) == 0 then rewrite() end
return redis.call('EXISTS', key)
""")

#: old key -> 1 if it was pending for that one
DISCARD = Script(r"""
return redis.call('HGET', key, PENDING) == ARGV[1] and redis.call('DEL', key) or 0
""")

#: epoch, way -> 1 if there was a live record, or a hash that is none
DELETE = Script(r"""
if not live(ARGV[1], ARGV[2]) then
  local found = elsewhere(ARGV[2], true)
  if found and found[1] ~= 'left' then return found end
  if not found then
    local got = redis.call('HMGET', key, TO, PENDING, META)
    if got[1] or got[2] then return 0 end
    if alive(got[3], 0) then redis.call('DEL', key); return 0 end
  end
end
return redis.call('DEL', key)
""")

#: -> 1; a write where a record was that is gone, for replicas to be asked for. 0: a full server
FENCE = Script(r"""
if redis.call('EXISTS', key) == 1 then rewrite(); return 1 end
redis.pcall('HSET', key, PENDING, '')
return redis.call('DEL', key)
""")

#: epoch, whether it is known not to be pending, whether aliases go along -> 1 if a live record was
#: removed, or alias and the next key; whatever there is goes
DROP = Script(r"""
local got = redis.call('HMGET', key, TO, META, PENDING)
local _, _, _, to = parse(got[1])
if to and not got[2] then
  if ARGV[3] == '1' then redis.call('DEL', key) end
  return {'alias', to}
end
if got[3] and ARGV[2] == '0' then return 0 end
redis.call('DEL', key)
return alive(got[2], ARGV[1]) and 1 or 0
""")

#: member -> how many there are; the user's index, scored by when they came
INDEX = Script(r"""
redis.call('ZADD', key, redis.call('TIME')[1], ARGV[1])
redis.call('EXPIRE', key, LONGEST)
return redis.call('ZCARD', key)
""")

#: member; the second key has the user's ends -> these. It enters the index first, where who
#: ends the user's sessions looks after he has noted that. A full server must let it pass
ENLIST = Script(r"""
redis.pcall('ZADD', key, redis.call('TIME')[1], ARGV[1])
redis.call('EXPIRE', key, LONGEST)
return redis.call('HGETALL', KEYS[2])
""")

#: since when the record is its user's, if it does not say so itself; now his index has it
ENLISTED = Script(r"""
local got = redis.call('HMGET', key, INDEXED, META, TO)
if got[2] and not got[3] then
  local since = string.match(got[1] or '', '^%d+') or ARGV[1]
  redis.pcall('HSET', key, INDEXED, since .. ' ' .. digits(now()))
end
return 1
""")

#: which of a user's, the number of the one that stays -> when they were ended, which is noted. A
#: full server does not note it: there the index alone tells whom to end
END = Script(r"""
local time = digits(now())
local noted = redis.pcall('HSET', key, ARGV[1], time .. ' ' .. ARGV[2])
if type(noted) == 'table' and not string.find(noted.err, 'OOM', 1, true) then return noted end
redis.call('EXPIRE', key, LONGEST)
return time
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
local epoch = digits(math.max(now(), (redis.call('GET', key) or 0) + 1))
redis.call('SET', key, epoch)
return epoch
""")

#: an epoch that a process remembers -> the epoch. One that the server has lost is written back;
#: not if its clock was set back behind it, where it would end what is created now. A server that
#: takes no writes is asked again later
RECALL = Script(r"""
local epoch = tonumber(redis.call('GET', key) or 0)
local remembered = tonumber(ARGV[1])
if remembered > epoch and remembered <= now() then
  epoch = remembered
  redis.pcall('SET', key, digits(epoch))
end
return digits(epoch)
""")
