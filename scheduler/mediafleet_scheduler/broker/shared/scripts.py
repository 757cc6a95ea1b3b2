"""What must happen in Redis at once. Lua, run by the server.

Keys, all with one hash tag, so that a Redis cluster keeps them in one place:

    brokers        set of brokers that have tasks, or had some
    alive:BROKER   is there while the broker beats: how others reach it
    part:BROKER    for the demand of pools: its workers and what waits there, while it beats
    open:BROKER    set of ids of its tasks that have no answer
    epoch          another text once this Redis was emptied
    task:ID        hash: owner, version (counts its owners), record, given (attempts: their ids are
                   secrets), and answer once there is one

A broker acts on a task on the condition that it is the owner, by the version that it saw: a broker
that was away for so long that others took its tasks answers none of them.
"""

from __future__ import annotations

from typing import Final

BEAT: Final = """
local prefix, me, lease, most = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
redis.call('SET', prefix .. 'alive:' .. me, ARGV[5], 'PX', lease)
redis.call('SADD', prefix .. 'brokers', me)
redis.call('SET', prefix .. 'epoch', ARGV[4], 'NX')
local taken, peers, busy = {}, {}, {}
for _, other in ipairs(redis.call('SMEMBERS', prefix .. 'brokers')) do
  local alive = redis.call('GET', prefix .. 'alive:' .. other)
  if alive then
    table.insert(peers, alive)
    if other ~= me and redis.call('SCARD', prefix .. 'open:' .. other) > 0 then
      table.insert(busy, alive)
    end
  else
    for _, id in ipairs(redis.call('SRANDMEMBER', prefix .. 'open:' .. other, most - #taken)) do
      local task = prefix .. 'task:' .. id
      redis.call('SREM', prefix .. 'open:' .. other, id)
      if redis.call('HGET', task, 'owner') == other
          and redis.call('HEXISTS', task, 'answer') == 0 then
        redis.call('HSET', task, 'owner', me)
        local version = redis.call('HINCRBY', task, 'version', 1)
        redis.call('SADD', prefix .. 'open:' .. me, id)
        local fields = redis.call('HMGET', task, 'record', 'given')
        table.insert(taken, {id, version, fields[1], fields[2]})
      end
    end
    if redis.call('SCARD', prefix .. 'open:' .. other) == 0 then
      redis.call('SREM', prefix .. 'brokers', other)
    end
  end
end
local own = redis.call('SMEMBERS', prefix .. 'open:' .. me)
return {redis.call('GET', prefix .. 'epoch'), own, taken, peers, busy}
"""
"""ARGV broker, lease in milliseconds, how many tasks to take at the most, an epoch for a Redis that
has none, and how others reach it: the broker is alive, and takes tasks of brokers that are not.
Returns the epoch, the ids that it owns, those it took with version, record and attempts, how
brokers that are alive are reached, and which of the others have tasks without an answer."""

PUT: Final = """
local prefix, me, id, record, keep, given = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local task = prefix .. 'task:' .. id
redis.call('HSET', task, 'owner', me, 'version', 1, 'record', record, 'given', given)
redis.call('PEXPIRE', task, keep)
redis.call('SADD', prefix .. 'open:' .. me, id)
redis.call('SADD', prefix .. 'brokers', me)
return 1
"""
"""ARGV broker, id, record, how many milliseconds it is kept, attempts: a task has come."""

GIVEN: Final = """
local prefix, me, id, version, given = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local task = prefix .. 'task:' .. id
if redis.call('HGET', task, 'owner') == me and redis.call('HGET', task, 'version') == version then
  redis.call('HSET', task, 'given', given)
end
return 1
"""
"""ARGV broker, id, version, attempts: the task was given to one more worker."""

ANSWER: Final = """
local prefix, me, id, version, answer, keep = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local task = prefix .. 'task:' .. id
redis.call('SREM', prefix .. 'open:' .. me, id)
if redis.call('HGET', task, 'owner') ~= me or redis.call('HGET', task, 'version') ~= version then
  return 0
end
if redis.call('HEXISTS', task, 'answer') == 0 then
  redis.call('HSET', task, 'answer', answer)
  redis.call('PEXPIRE', task, keep)
  return 1
end
return redis.call('HGET', task, 'answer') == answer and 1 or 0
"""
"""ARGV broker, id, version, answer, how many milliseconds it is kept: the task's one answer.
Returns whether it is; the same one again is."""

DROP: Final = """
local prefix, id = KEYS[1], ARGV[1]
local task = prefix .. 'task:' .. id
local owner = redis.call('HGET', task, 'owner')
if not owner then return 0 end
redis.call('SREM', prefix .. 'open:' .. owner, id)
redis.call('DEL', task)
return 1
"""
"""ARGV id: the task is cancelled, or its answer thrown away. Its owner sees it at its next beat."""
