<?php

/** Whose extension or mobile this is. Users that may not log in any more are nobody's. */

declare(strict_types=1);

namespace PinCalls\Identity;

use PinCalls\Db;

class UserFinder
{
    private Db $db;
    private Seats $seats;
    private PhoneIndex $phones;
    /** @var array<int, array<string, mixed>>|null active users by id */
    private ?array $users = null;
    /** @var array<int, bool>|null group ids */
    private ?array $groups = null;

    public function __construct(Db $db, Seats $seats, PhoneIndex $phones)
    {
        $this->db = $db;
        $this->seats = $seats;
        $this->phones = $phones;
    }

    /**
     * @param float $at unix seconds: who sat there then
     * @return int user id, 0 for nobody
     */
    public function byExtension(string $pbx, string $extension, float $at): int
    {
        if ($extension === '') {
            return 0;
        }
        $seated = $this->seats->userAt($pbx, $extension, $at);
        if ($seated !== 0 && $this->isActiveUser($seated)) {
            return $seated;
        }
        $anyPbx = 0;
        foreach ($this->users() as $id => $user) {
            foreach (self::extensions((string) $user['phone_crm_extension']) as $own) {
                if ($own['extension'] !== $extension) {
                    continue;
                }
                // `msk/101` in a card beats a bare `101`: only then are two PBXs with the same extensions told apart.
                if ($own['pbx'] === $pbx) {
                    return $id;
                }
                $anyPbx = $own['pbx'] === '' && $anyPbx === 0 ? $id : $anyPbx;
            }
        }
        return $anyPbx;
    }

    /** @return int user id, 0 for nobody */
    public function byMobile(string $phone): int
    {
        $key = $this->phones->parse($phone)->key();
        if (strlen($key) < 7) {
            return 0;
        }
        foreach ($this->users() as $id => $user) {
            foreach ($this->mobiles($user) as $mobile) {
                if ($mobile === $key) {
                    return $id;
                }
            }
        }
        return 0;
    }

    public function isActiveUser(int $id): bool
    {
        return isset($this->users()[$id]);
    }

    public function isGroup(int $id): bool
    {
        if ($this->groups === null) {
            $this->groups = [];
            foreach ($this->db->rows('SELECT groupid FROM vtiger_groups') as $row) {
                $this->groups[(int) $row['groupid']] = true;
            }
        }
        return isset($this->groups[$id]);
    }

    /** Whether a record may be assigned to this id. */
    public function isOwner(int $id): bool
    {
        return $id > 0 && ($this->isActiveUser($id) || $this->isGroup($id));
    }

    public function name(int $id): string
    {
        $user = $this->users()[$id] ?? null;
        return $user === null ? '' : trim($user['first_name'] . ' ' . $user['last_name']);
    }

    /**
     * The extensions of a user that are his now, today's first; those somebody else has taken for the day are not.
     *
     * @return list<array{pbx: string, extension: string, source: string, until: int}>
     */
    public function extensionsNow(int $userId): array
    {
        $now = [];
        $others = [];
        foreach ($this->seats->taken() as $seat) {
            if ($seat['userid'] === $userId) {
                $now[] = [
                    'pbx' => $seat['pbx'], 'extension' => $seat['extension'], 'source' => 'today', 'until' => $seat['until'],
                ];
            } else {
                $others[] = $seat;
            }
        }
        $user = $this->users()[$userId] ?? null;
        foreach ($user === null ? [] : self::extensions((string) $user['phone_crm_extension']) as $own) {
            $taken = false;
            foreach (array_merge($others, $now) as $seat) {
                $samePbx = $seat['pbx'] === $own['pbx'] || $seat['pbx'] === '' || $own['pbx'] === '';
                $taken = $taken || ($samePbx && $seat['extension'] === $own['extension']);
            }
            if (!$taken) {
                $now[] = $own + ['source' => 'card', 'until' => 0];
            }
        }
        return $now;
    }

    /** @return array<int, array<string, mixed>> */
    public function users(): array
    {
        if ($this->users === null) {
            $this->users = [];
            $rows = $this->db->rows(
                'SELECT id, user_name, first_name, last_name, phone_crm_extension, phone_mobile, is_admin'
                . " FROM vtiger_users WHERE status = 'Active' AND deleted = 0 ORDER BY id"
            );
            foreach ($rows as $row) {
                $this->users[(int) $row['id']] = $row;
            }
        }
        return $this->users;
    }

    /** @return list<array<string, mixed>> those who may not log in any more: managers of clients may be among them */
    public function inactive(): array
    {
        return $this->db->rows(
            'SELECT id, user_name, first_name, last_name FROM vtiger_users'
            . " WHERE deleted = 0 AND status <> 'Active' ORDER BY id"
        );
    }

    /**
     * @param array<string, mixed> $user
     * @return list<string> compared forms
     */
    public function mobiles(array $user): array
    {
        $key = $this->phones->parse((string) $user['phone_mobile'])->key();
        return strlen($key) < 7 ? [] : [$key];
    }

    /**
     * What stands in a user's card: `101`, `msk/101`, or several of them with commas or spaces between.
     *
     * @return list<array{pbx: string, extension: string}>
     */
    public static function extensions(string $written): array
    {
        $extensions = [];
        foreach (preg_split('/[\s,;]+/', $written, -1, PREG_SPLIT_NO_EMPTY) ?: [] as $one) {
            $slash = strrpos($one, '/');
            $extensions[] = [
                'pbx' => $slash === false ? '' : substr($one, 0, $slash),
                'extension' => $slash === false ? $one : substr($one, $slash + 1),
            ];
        }
        return $extensions;
    }
}
