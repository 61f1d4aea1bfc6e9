<?php

/**
 * Makes a vTiger be what Schema says. Install, update and repair are one and the same run: every step looks first and adds only what
 * is missing, so that it may be run at any time and changes nothing people have set.
 */

declare(strict_types=1);

namespace PinCalls\Install;

use PinCalls\Clock;
use PinCalls\Db;
use PinCalls\Settings\Settings;
use PinCalls\Vtiger\DefaultGroup;
use PinCalls\Vtiger\Services;

final class Installer
{
    /** What the first filling of the number index may take of the installer's time; the cron does the rest. */
    private const FILL_SECONDS = 10;

    private Db $db;

    public function __construct(Db $db)
    {
        $this->db = $db;
    }

    public function run(): void
    {
        require_once 'vtlib/Vtiger/Module.php';
        require_once 'vtlib/Vtiger/Cron.php';
        require_once 'include/events/include.inc';
        $this->tables();
        $module = \Vtiger_Module::getInstance(Schema::MODULE);
        $isNew = $this->db->rows('SELECT cvid FROM vtiger_customview WHERE entitytype = ?', [Schema::MODULE]) === [];
        $this->fields($module);
        $this->indexes();
        $this->filters($module);
        $newTools = $this->tools($module);
        if ($isNew) {
            $module->enableTools(['Export']);
            $module->disableTools(['Import', 'Merge']);
            $module->setDefaultSharing('Public_ReadOnly');
        } elseif ($newTools) {
            // Every user's rights are a file, which knows nothing of a tool until it is written anew.
            RecalculateSharingRules();
        }
        $this->tabs($module);
        $this->history($module, $isNew);
        $this->callerIdFields();
        (new DefaultGroup($this->db, new Settings($this->db)))->id();
        $this->connect($module);
        \Vtiger_Cache::flushModuleCache(Schema::MODULE);
        $services = Services::get();
        $services->clientPhones->fill($services->settings, self::FILL_SECONDS);
    }

    /** Everything of ours that other modules run: put in at install, update and enable. */
    public function connect(\Vtiger_Module $module): void
    {
        $events = new \VTEventsManager(\PearDatabase::getInstance());
        $this->db->execute('DELETE FROM vtiger_eventhandlers WHERE handler_class = ?', [Schema::EVENT_CLASS]);
        foreach (Schema::EVENTS as $event) {
            $events->registerHandler($event, Schema::EVENT_FILE, Schema::EVENT_CLASS);
        }
        foreach (Schema::HEADER_SCRIPTS as $script) {
            $module->addLink('HEADERSCRIPT', 'CallsHeader', $script);
        }
        $home = \Vtiger_Module::getInstance('Home');
        foreach (Schema::DASHBOARD as $label => $name) {
            $home->addLink('DASHBOARDWIDGET', $label, "index.php?module=Calls&view=ShowWidget&name=$name");
        }
        \Vtiger_Cron::deregister(Schema::CRON_NAME);
        \Vtiger_Cron::register(Schema::CRON_NAME, Schema::CRON_FILE, Schema::CRON_SECONDS, Schema::MODULE, 1);
        $this->settingsPage();
        $this->tabsPresence(0);
    }

    /** The opposite of connect: at disable and uninstall. Data and fields stay. */
    public function disconnect(): void
    {
        // A handler row whose file is gone makes every save in vTiger fail, so these rows go before anything else can.
        $this->db->execute('DELETE FROM vtiger_eventhandlers WHERE handler_class = ?', [Schema::EVENT_CLASS]);
        $this->db->execute('DELETE FROM vtiger_links WHERE linklabel = ? AND linktype = ?', ['CallsHeader', 'HEADERSCRIPT']);
        $widgets = $this->db->rows("SELECT linkid FROM vtiger_links WHERE linkurl LIKE 'index.php?module=Calls&view=ShowWidget%'");
        foreach ($widgets as $row) {
            $this->db->execute('DELETE FROM vtiger_module_dashboard_widgets WHERE linkid = ?', [(int) $row['linkid']]);
            $this->db->execute('DELETE FROM vtiger_links WHERE linkid = ?', [(int) $row['linkid']]);
        }
        $this->db->execute('DELETE FROM vtiger_cron_task WHERE name = ?', [Schema::CRON_NAME]);
        $this->db->execute('DELETE FROM vtiger_settings_field WHERE name = ?', [Schema::SETTINGS_LABEL]);
        $this->tabsPresence(1);
    }

    /** Leaves nothing of the module behind that vTiger would stumble over; the calls themselves only where that was asked. */
    public function uninstall(): void
    {
        $this->disconnect();
        $tabId = (int) ($this->db->rows('SELECT tabid FROM vtiger_tab WHERE name = ?', [Schema::MODULE])[0]['tabid'] ?? 0);
        $this->db->execute('DELETE FROM vtiger_relatedlists WHERE related_tabid = ? OR tabid = ?', [$tabId, $tabId]);
        $this->db->execute('DELETE FROM vtiger_fieldmodulerel WHERE module = ? OR relmodule = ?', [Schema::MODULE, Schema::MODULE]);
        $this->db->execute(
            'DELETE t FROM com_vtiger_workflowtasks t INNER JOIN com_vtiger_workflows w ON w.workflow_id = t.workflow_id'
            . ' WHERE w.module_name = ?',
            [Schema::MODULE]
        );
        $this->db->execute('DELETE FROM com_vtiger_workflows WHERE module_name = ?', [Schema::MODULE]);
        $this->db->execute('DELETE FROM vtiger_modentity_num WHERE semodule = ?', [Schema::MODULE]);
        $this->db->execute('DELETE FROM vtiger_modtracker_tabs WHERE tabid = ?', [$tabId]);
        $this->db->execute(
            'DELETE g FROM vtiger_cvadvfilter_grouping g INNER JOIN vtiger_customview v ON v.cvid = g.cvid'
            . ' WHERE v.entitytype = ?',
            [Schema::MODULE]
        );
        $this->db->execute('DELETE FROM vtiger_links WHERE tabid = ?', [$tabId]);
        $this->db->execute('DELETE FROM vtiger_app2tab WHERE tabid = ?', [$tabId]);
        foreach (Schema::TOOLS as $tool) {
            $this->db->execute('DELETE FROM vtiger_actionmapping WHERE actionname = ?', [self::toolName($tool)]);
        }
        foreach (array_keys(Schema::CALLER_ID_HOSTS) as $host) {
            $field = \Vtiger_Field::getInstance(Schema::CALLER_ID_FIELD, \Vtiger_Module::getInstance($host));
            if ($field) {
                $field->delete();
            }
        }
        if ((bool) (new Settings($this->db))->get('remove_data_on_uninstall')) {
            $this->removeData();
        }
    }

    private function removeData(): void
    {
        Services::sounds($this->db, new Clock())->removeAll();
        $comments = 'SELECT m.modcommentsid FROM vtiger_modcomments m INNER JOIN vtiger_calls c ON c.callsid = m.related_to';
        $this->db->execute("DELETE FROM vtiger_crmentity WHERE crmid IN ($comments)");
        $this->db->execute('DELETE m FROM vtiger_modcomments m INNER JOIN vtiger_calls c ON c.callsid = m.related_to');
        $this->db->execute(
            'DELETE d FROM vtiger_modtracker_detail d INNER JOIN vtiger_modtracker_basic b ON b.id = d.id WHERE b.module = ?',
            [Schema::MODULE]
        );
        $this->db->execute('DELETE FROM vtiger_modtracker_basic WHERE module = ?', [Schema::MODULE]);
        $this->db->execute('DELETE FROM vtiger_crmentity WHERE setype = ?', [Schema::MODULE]);
        foreach (array_merge(array_keys(Schema::TABLES), Schema::picklistTables()) as $table) {
            $this->db->execute("DROP TABLE IF EXISTS $table");
            $this->db->execute("DROP TABLE IF EXISTS {$table}_seq");
        }
        foreach (Schema::CALLER_ID_HOSTS as [$table]) {
            if ($this->columnExists($table, Schema::CALLER_ID_FIELD)) {
                $this->db->execute("ALTER TABLE $table DROP COLUMN " . Schema::CALLER_ID_FIELD);
            }
        }
    }

    public function tables(): void
    {
        foreach (Schema::TABLES as $table => $columns) {
            $this->db->execute("CREATE TABLE IF NOT EXISTS $table ($columns) ENGINE=InnoDB DEFAULT CHARSET=utf8");
        }
        foreach (Schema::LATER_COLUMNS as [$table, $column, $type]) {
            if (!$this->columnExists($table, $column)) {
                $this->db->execute("ALTER TABLE $table ADD COLUMN $column $type");
            }
        }
    }

    private function fields(\Vtiger_Module $module): void
    {
        $blocks = [];
        foreach (Schema::BLOCKS as $label) {
            $block = \Vtiger_Block::getInstance($label, $module);
            if (!$block) {
                $block = new \Vtiger_Block();
                $block->label = $label;
                $module->addBlock($block);
            }
            $blocks[$label] = $block;
        }
        foreach (Schema::fields() as $name => $wanted) {
            $field = \Vtiger_Field::getInstance($name, $module);
            if (!$field) {
                $field = self::newField($name, $wanted);
                $blocks[$wanted['block']]->addField($field);
                if ($name === 'call_name') {
                    $module->entityidfield = 'callsid';
                    $module->entityidcolumn = 'callsid';
                    $module->setEntityIdentifier($field);
                }
            }
            if (isset($wanted['values'])) {
                $this->picklistValues($field, $wanted['values']);
            }
            if (isset($wanted['modules'])) {
                $field->setRelatedModules($wanted['modules']);
            }
        }
    }

    /** @param array<string, mixed> $wanted */
    private static function newField(string $name, array $wanted): \Vtiger_Field
    {
        $field = new \Vtiger_Field();
        $field->name = $name;
        $field->label = $wanted['label'];
        $field->table = $wanted['table'] ?? 'vtiger_calls';
        $field->column = $wanted['column'] ?? $name;
        // Columns of vTiger's own tables are there already, and its AddColumn must not touch them.
        $field->columntype = $wanted['columntype'] ?? 'VARCHAR(100)';
        $field->uitype = $wanted['uitype'];
        $field->typeofdata = $wanted['typeofdata'];
        $field->displaytype = $wanted['displaytype'] ?? 1;
        $field->presence = 2;
        $field->quickcreate = 3;
        $field->masseditable = in_array($name, Schema::EDITABLE, true) ? 1 : 0;
        $field->summaryfield = $wanted['summary'] ?? 0;
        $field->readonly = 1;
        return $field;
    }

    /**
     * vTiger's own update adds no values to a picklist that exists.
     *
     * @param list<string> $values
     */
    private function picklistValues(\Vtiger_Field $field, array $values): void
    {
        $table = 'vtiger_' . $field->name;
        $known = [];
        if (\Vtiger_Utils::CheckTable($table)) {
            $known = array_column($this->db->rows("SELECT {$field->name} AS value FROM $table"), 'value');
        }
        $missing = array_values(array_diff($values, $known));
        if ($missing !== []) {
            $field->setPicklistValues($missing);
        }
    }

    private function indexes(): void
    {
        foreach (Schema::INDEXES as $name => [$table, $columns]) {
            $known = $this->db->rows(
                'SELECT 1 FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND INDEX_NAME = ?',
                [$table, $name]
            );
            if ($known === []) {
                $this->db->execute("ALTER TABLE $table ADD INDEX $name ($columns)");
            }
        }
    }

    private function filters(\Vtiger_Module $module): void
    {
        foreach (Schema::filters() as $name => $rules) {
            if (\Vtiger_Filter::getInstance($name, $module)) {
                continue;
            }
            $filter = new \Vtiger_Filter();
            $filter->name = $name;
            $filter->isdefault = $name === 'All';
            $module->addFilter($filter);
            foreach (Schema::FILTER_COLUMNS as $index => $column) {
                $filter->addField(\Vtiger_Field::getInstance($column, $module), $index);
            }
            foreach ($rules as $index => [$field, $comparator, $value]) {
                $this->rule($filter, \Vtiger_Field::getInstance($field, $module), $index, $comparator, $value, count($rules));
            }
            if ($rules !== []) {
                // Without its group a rule is shown in the editor and does nothing.
                $this->db->execute(
                    'INSERT INTO vtiger_cvadvfilter_grouping (groupid, cvid, group_condition, condition_expression)'
                    . " VALUES (1, ?, '', ?)",
                    [(int) $filter->id, implode(' and ', array_keys($rules))]
                );
            }
        }
    }

    private function rule(
        \Vtiger_Filter $filter,
        \Vtiger_Field $field,
        int $index,
        string $comparator,
        string $value,
        int $rules
    ): void {
        $type = explode('~', $field->typeofdata)[0];
        $column = "{$field->table}:{$field->column}:{$field->name}:Calls_" . str_replace(' ', '_', $field->label) . ":$type";
        $this->db->execute(
            'INSERT INTO vtiger_cvadvfilter (cvid, columnindex, columnname, comparator, value, groupid, column_condition)'
            . ' VALUES (?, ?, ?, ?, ?, 1, ?)',
            [(int) $filter->id, $index, $column, $comparator, $value, $index + 1 < $rules ? 'and' : '']
        );
    }

    /** Tools are vTiger-wide names, so ours carry the module's. */
    public static function toolName(string $tool): string
    {
        return 'Calls' . $tool;
    }

    /** @return bool whether any was missing */
    private function tools(\Vtiger_Module $module): bool
    {
        $added = false;
        foreach (Schema::TOOLS as $tool) {
            $name = self::toolName($tool);
            if ($this->db->rows('SELECT actionid FROM vtiger_actionmapping WHERE actionname = ?', [$name]) === []) {
                $highest = (int) $this->db->rows('SELECT MAX(actionid) AS highest FROM vtiger_actionmapping')[0]['highest'];
                $this->db->execute(
                    'INSERT INTO vtiger_actionmapping (actionid, actionname, securitycheck) VALUES (?, ?, 0)',
                    [$highest + 1, $name]
                );
                $module->enableTools($name);
                $added = true;
            }
        }
        return $added;
    }

    private function tabs(\Vtiger_Module $module): void
    {
        foreach (Schema::TABS as $host => $tabs) {
            $hostModule = \Vtiger_Module::getInstance($host);
            foreach ($hostModule ? $tabs : [] as $label => $fieldName) {
                $known = $this->db->rows(
                    'SELECT relation_id FROM vtiger_relatedlists WHERE tabid = ? AND related_tabid = ? AND label = ?',
                    [(int) $hostModule->id, (int) $module->id, $label]
                );
                if ($known === []) {
                    $field = \Vtiger_Field::getInstance($fieldName, $module);
                    $hostModule->setRelatedList($module, $label, [], 'get_dependents_list', $field->id);
                    // At the front: behind a dozen other tabs vTiger would hide it under «More».
                    $this->db->execute(
                        'UPDATE vtiger_relatedlists SET sequence = 0 WHERE tabid = ? AND related_tabid = ? AND label = ?',
                        [(int) $hostModule->id, (int) $module->id, $label]
                    );
                }
            }
        }
    }

    private function tabsPresence(int $presence): void
    {
        $rows = $this->db->rows('SELECT tabid FROM vtiger_tab WHERE name = ?', [Schema::MODULE]);
        foreach ($rows as $row) {
            $sql = 'UPDATE vtiger_relatedlists SET presence = ? WHERE related_tabid = ?';
            $this->db->execute($sql, [$presence, (int) $row['tabid']]);
        }
    }

    private function history(\Vtiger_Module $module, bool $isNew): void
    {
        if ($isNew && \Vtiger_Module::getInstance('ModTracker')) {
            require_once 'modules/ModTracker/ModTracker.php';
            \ModTracker::enableTrackingForModule($module->id);
        }
        $comments = \Vtiger_Module::getInstance('ModComments');
        $hasComments = $this->db->rows(
            'SELECT relation_id FROM vtiger_relatedlists WHERE tabid = ? AND name = ?',
            [(int) $module->id, 'get_comments']
        );
        if ($comments && $hasComments === []) {
            require_once 'modules/ModComments/ModComments.php';
            \ModComments::addWidgetTo([Schema::MODULE]);
        }
    }

    private function callerIdFields(): void
    {
        foreach (Schema::CALLER_ID_HOSTS as $host => [$table, $blockLabel]) {
            $hostModule = \Vtiger_Module::getInstance($host);
            if (!$hostModule || \Vtiger_Field::getInstance(Schema::CALLER_ID_FIELD, $hostModule)) {
                continue;
            }
            $block = \Vtiger_Block::getInstance($blockLabel, $hostModule) ?: \Vtiger_Block::getInstance('LBL_CUSTOM_INFORMATION', $hostModule);
            $field = new \Vtiger_Field();
            $field->name = Schema::CALLER_ID_FIELD;
            $field->label = self::callerIdLabel();
            $field->table = $table;
            $field->column = Schema::CALLER_ID_FIELD;
            $field->columntype = 'VARCHAR(64)';
            $field->uitype = 1;
            $field->typeofdata = 'V~O';
            $field->quickcreate = 1;
            $block->addField($field);
        }
    }

    /** A field of another module is translated by that module's files, which know nothing of ours: its label is plain text. */
    private static function callerIdLabel(): string
    {
        $language = (string) vglobal('default_language');
        $labels = \Vtiger_Language_Handler::getModuleStringsFromFile($language, Schema::MODULE)['languageStrings'] ?? [];
        return (string) ($labels['Show This Number'] ?? 'Show this number when calling');
    }

    private function settingsPage(): void
    {
        $known = $this->db->rows('SELECT fieldid FROM vtiger_settings_field WHERE name = ?', [Schema::SETTINGS_LABEL]);
        if ($known !== []) {
            return;
        }
        $block = $this->db->rows("SELECT blockid FROM vtiger_settings_blocks WHERE label = 'LBL_INTEGRATION'");
        $id = (int) \PearDatabase::getInstance()->getUniqueID('vtiger_settings_field');
        $this->db->execute(
            'INSERT INTO vtiger_settings_field (fieldid, blockid, name, iconpath, description, linkto, sequence, active)'
            . " VALUES (?, ?, ?, '', ?, ?, 9, 0)",
            [$id, (int) ($block[0]['blockid'] ?? 4), Schema::SETTINGS_LABEL, 'LBL_CALLS_SETTINGS_DESCRIPTION', Schema::SETTINGS_LINK]
        );
    }

    private function columnExists(string $table, string $column): bool
    {
        return $this->db->rows(
            'SELECT 1 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND COLUMN_NAME = ?',
            [$table, $column]
        ) !== [];
    }
}
