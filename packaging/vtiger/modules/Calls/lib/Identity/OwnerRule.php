<?php

/** Whom a call is assigned to: never nobody, never an administrator by accident. */

declare(strict_types=1);

namespace PinCalls\Identity;

use PinCalls\Db;
use PinCalls\Record\CallRecord;

class OwnerRule
{
    private Db $db;
    private UserFinder $users;
    /** @var callable(): int */
    private $defaultGroup;
    /** @var array<string, int>|null `kind:value` to owner */
    private ?array $set = null;

    /** @param callable(): int $defaultGroup makes the group where it was deleted */
    public function __construct(Db $db, UserFinder $users, callable $defaultGroup)
    {
        $this->db = $db;
        $this->users = $users;
        $this->defaultGroup = $defaultGroup;
    }

    /** @param int $userId who had the phone, 0 for nobody */
    public function owner(CallRecord $call, int $userId, ?Client $client): int
    {
        if ($userId !== 0) {
            return $userId;
        }
        if ($call->direction === 'incoming' && $client !== null && $this->users->isActiveUser($client->ownerId)) {
            return $client->ownerId;
        }
        $places = ['queue' => $call->text('queue'), 'did' => $call->text('did'), 'pbx' => $call->pbx];
        foreach ($places as $kind => $value) {
            $owner = $value === '' ? 0 : ($this->set()["$kind:$value"] ?? 0);
            if ($this->users->isOwner($owner)) {
                return $owner;
            }
        }
        return ($this->defaultGroup)();
    }

    /** @return array<string, int> */
    private function set(): array
    {
        if ($this->set === null) {
            $this->set = [];
            foreach ($this->db->rows('SELECT kind, value, ownerid FROM vtiger_calls_owner') as $row) {
                $this->set[$row['kind'] . ':' . $row['value']] = (int) $row['ownerid'];
            }
        }
        return $this->set;
    }
}
