<?php

/** What vTiger's profiles and groups say of a user; asked of vTiger itself (Vtiger\ProfileRights), never worked out here. */

declare(strict_types=1);

namespace PinCalls\Identity;

interface Rights
{
    /** Whether the user may see calls at all. */
    public function maySeeCalls(int $userId): bool;

    /** A tool of the profile: `Listen`, `Download`, `ClickToCall`, `TakeExtension`. */
    public function mayUse(int $userId, string $tool): bool;

    /** @return list<int> ids of all groups the user is in, by whatever way */
    public function groupsOf(int $userId): array;
}
