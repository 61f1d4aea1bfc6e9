<?php

/** Rights as vTiger's profiles give them. */

declare(strict_types=1);

namespace PinCalls\Vtiger;

use PinCalls\Db;
use PinCalls\Identity\Rights;
use PinCalls\Install\Installer;

final class ProfileRights implements Rights
{
    private Db $db;
    /** @var array<int, list<int>> */
    private array $groups = [];
    /** @var array<int, object|null> */
    private array $privileges = [];

    public function __construct(Db $db)
    {
        $this->db = $db;
    }

    public function maySeeCalls(int $userId): bool
    {
        $privileges = $this->privileges($userId);
        return $privileges !== null && $privileges->hasModulePermission(getTabid(EntityStore::MODULE));
    }

    public function mayUse(int $userId, string $tool): bool
    {
        $privileges = $this->privileges($userId);
        return $privileges !== null && $privileges->hasModulePermission(getTabid(EntityStore::MODULE))
            && $privileges->hasModuleActionPermission(getTabid(EntityStore::MODULE), Installer::toolName($tool));
    }

    public function groupsOf(int $userId): array
    {
        if (!isset($this->groups[$userId])) {
            require_once 'include/utils/GetUserGroups.php';
            $all = new \GetUserGroups();
            $all->user_groups = [];
            $all->getAllUserGroups($userId);
            $ids = array_values(array_unique(array_map('intval', $all->user_groups)));
            sort($ids);
            $this->groups[$userId] = $ids;
        }
        return $this->groups[$userId];
    }

    private function privileges(int $userId): ?object
    {
        if (!array_key_exists($userId, $this->privileges)) {
            // The privileges are a file that vTiger writes when the user is saved: without it he has none.
            $file = "user_privileges/user_privileges_$userId.php";
            $this->privileges[$userId] = is_file($file) ? \Users_Privileges_Model::getInstanceById($userId) : null;
        }
        return $this->privileges[$userId];
    }
}
