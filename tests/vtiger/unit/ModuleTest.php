<?php

/** What can be said of the module without running it: the zip, the labels, the classes, the columns. */

declare(strict_types=1);

use PHPUnit\Framework\TestCase;
use PinCalls\Install\Schema;
use PinCalls\Record\Words;
use PinCalls\Version;

final class ModuleTest extends TestCase
{
    private const SOURCES = PROJECT . '/packaging/vtiger';

    /** @return array{0: array<string, string>, 1: array<string, string>} */
    private static function labels(string $language, string $file = 'Calls'): array
    {
        $languageStrings = [];
        $jsLanguageStrings = [];
        require self::SOURCES . "/languages/$language/$file.php";
        return [$languageStrings, $jsLanguageStrings];
    }

    private static function zip(): ZipArchive
    {
        $zip = new ZipArchive();
        self::assertTrue($zip->open((string) getenv('CALLS_ZIP')), 'CALLS_ZIP is to name the built module');
        return $zip;
    }

    public function testTheZipHasWhatTheManifestAndVtigerNeed(): void
    {
        $zip = self::zip();
        $manifest = simplexml_load_string((string) $zip->getFromName('manifest.xml'));
        self::assertSame(['Calls', Version::NUMBER], [(string) $manifest->name, (string) $manifest->version]);
        self::assertStringContainsString('Support', (string) $manifest->parent);
        $needed = [
            'modules/Calls/Calls.php', 'modules/Calls/callbacks/Connector.php', 'modules/Calls/live.php', Schema::EVENT_FILE,
            'languages/en_us/Calls.php', 'languages/ru_ru/Calls.php', 'cron/Calls.service', 'settings/views/Index.php',
            'settings/actions/Save.php', 'modules/Calls/lib/Number/plans.php',
        ];
        foreach (array_merge($needed, Schema::HEADER_SCRIPTS) as $name) {
            self::assertNotFalse($zip->locateName($name), $name);
        }
        for ($i = 0; $i < $zip->numFiles; $i++) {
            self::assertMatchesRegularExpression('#^(manifest\.xml|(cron|languages|layouts|modules|settings)/[\w./-]+)$#', $zip->getNameIndex($i));
            self::assertDoesNotMatchRegularExpression('#(~|\.bak|\.orig|\.swp|/tests/)#', $zip->getNameIndex($i));
        }
        self::assertSame('cron/modules/Calls/Calls.service', Schema::CRON_FILE, 'vTiger puts cron/ of the zip there');
    }

    public function testTheBuildIsReproducible(): void
    {
        $again = tempnam(sys_get_temp_dir(), 'calls');
        exec(escapeshellarg(self::SOURCES . '/build') . ' ' . escapeshellarg($again), $said, $status);
        self::assertSame(0, $status);
        self::assertSame(sha1_file((string) getenv('CALLS_ZIP')), sha1_file($again));
        unlink($again);
    }

    public function testBothLanguagesHaveTheSameLabels(): void
    {
        foreach (['Calls', 'Settings/Calls'] as $file) {
            [$english, $englishJs] = self::labels('en_us', $file);
            [$russian, $russianJs] = self::labels('ru_ru', $file);
            self::assertSame(array_keys($english), array_keys($russian), $file);
            self::assertSame(array_keys($englishJs), array_keys($russianJs), $file);
            self::assertNotContains('', array_merge($english, $russian, $englishJs, $russianJs));
        }
        [$russian] = self::labels('ru_ru');
        $latin = array_filter($russian, static function (string $text): bool {
            return preg_match('/[А-Яа-яЁё]/u', $text) === 0;
        });
        self::assertSame([], $latin, 'every Russian label is Russian');
    }

    public function testEveryFieldBlockFilterTabAndValueHasALabel(): void
    {
        [$labels] = self::labels('ru_ru');
        $needed = array_merge(Schema::BLOCKS, array_keys(Schema::filters()), array_keys(Schema::DASHBOARD), ['Calls', 'SINGLE_Calls', Schema::SETTINGS_LABEL]);
        foreach (Schema::fields() as $field) {
            $needed[] = $field['label'];
            $needed = array_merge($needed, $field['values'] ?? []);
        }
        foreach (Schema::TABS as $tabs) {
            $needed = array_merge($needed, array_keys($tabs));
        }
        foreach (Words::STEPS as $step) {
            $needed[] = "STEP_$step";
        }
        self::assertSame([], array_values(array_diff(array_diff($needed, ['All']), array_keys($labels))));
    }

    public function testEveryLabelUsedInCodeAndTemplatesExists(): void
    {
        [$labels, $jsLabels] = self::labels('en_us');
        [$settings] = self::labels('en_us', 'Settings/Calls');
        $used = [];
        $usedJs = [];
        foreach (self::files('/\.(php|tpl|js)$/') as $file) {
            $text = (string) file_get_contents($file);
            if (strpos($file, '/languages/') !== false) {
                continue;
            }
            preg_match_all("/'((?:LBL|STEP)_[A-Z_a-z]*[A-Za-z])'/", $text, $found);
            $used = array_merge($used, $found[1]);
            preg_match_all("/say\\('([A-Z_a-z]+)'\\)/", $text, $found);
            $usedJs = array_merge($usedJs, $found[1]);
        }
        $vtigersOwn = ['LBL_PERMISSION_DENIED', 'LBL_IMPORT', 'LBL_FIND_DUPLICATES', 'LBL_DUPLICATE', 'LBL_INTEGRATION', 'LBL_CONTACT_INFORMATION', 'LBL_LEAD_INFORMATION', 'LBL_ACCOUNT_INFORMATION'];
        self::assertGreaterThan(60, count(array_unique($used)));
        self::assertSame([], array_values(array_diff(array_unique($used), array_keys($labels + $settings), $vtigersOwn)));
        $jsKeys = array_map(static function (string $key): string {
            return "JS_CALLS_$key";
        }, array_unique($usedJs));
        self::assertGreaterThan(20, count($jsKeys));
        self::assertSame([], array_values(array_diff($jsKeys, array_keys($jsLabels))));
    }

    public function testEveryReasonOfARefusedClickHasWords(): void
    {
        [, $labels] = self::labels('en_us');
        $source = file_get_contents(MODULE . '/lib/Click/ClickToCall.php');
        preg_match_all("/(?:refused\\('|return ')([a-z_]+)'/", (string) $source, $found);
        preg_match_all("/\\d{3} => '([a-z_]+)'/", (string) $source, $byStatus);
        $reasons = array_unique(array_merge($found[1], $byStatus[1], ['connector_refused', 'not_fetched', 'cancelled', 'agent_no_answer', 'agent_busy', 'agent_unreachable']));
        self::assertGreaterThan(10, count($reasons));
        foreach ($reasons as $reason) {
            self::assertArrayHasKey("JS_CALLS_$reason", $labels);
        }
    }

    public function testEveryClassVtigerLooksForIsWhereItLooks(): void
    {
        $folders = ['models' => 'Model', 'views' => 'View', 'actions' => 'Action', 'uitypes' => 'UIType', 'dashboards' => 'Dashboard'];
        $seen = 0;
        foreach ($folders as $folder => $suffix) {
            foreach (glob(MODULE . "/$folder/*.php") as $file) {
                $class = 'Calls_' . basename($file, '.php') . "_$suffix";
                self::assertStringContainsString("class $class ", (string) file_get_contents($file));
                $seen++;
            }
            foreach (glob(self::SOURCES . "/settings/$folder/*.php") as $file) {
                $class = 'Settings_Calls_' . basename($file, '.php') . "_$suffix";
                self::assertStringContainsString("class $class ", (string) file_get_contents($file));
                $seen++;
            }
        }
        self::assertGreaterThan(15, $seen);
        foreach (Schema::DASHBOARD as $name) {
            self::assertFileExists(MODULE . "/dashboards/$name.php");
        }
        self::assertStringContainsString('class ' . Schema::EVENT_CLASS . ' ', (string) file_get_contents(self::SOURCES . '/' . Schema::EVENT_FILE));
        foreach (self::files('#/lib/.*\.php$#') as $file) {
            $name = basename($file, '.php');
            if ($name === 'autoload' || $name === 'plans') {
                continue;
            }
            $folder = trim(str_replace('/', '\\', substr(dirname($file), strlen(realpath(MODULE . '/lib')))), '\\');
            $text = (string) file_get_contents($file);
            self::assertStringContainsString('declare(strict_types=1);', $text, $file);
            self::assertMatchesRegularExpression('/(class|interface) ' . $name . '\b/', $text, $file);
            self::assertStringContainsString('namespace PinCalls' . ($folder === '' ? '' : "\\$folder") . ';', $text, $file);
        }
    }

    public function testWhoUsesTheLibraryLoadsIt(): void
    {
        foreach (self::files('/\.(php|service)$/') as $file) {
            $text = (string) file_get_contents($file);
            if (strpos($file, '/lib/') === false && strpos($text, 'PinCalls\\') !== false) {
                self::assertStringContainsString('lib/autoload.php', $text, $file);
            }
        }
    }

    public function testTemplatesOfViewsExist(): void
    {
        foreach (self::files('/\.php$/') as $file) {
            preg_match_all("/'((?:dashboards\\/)?\\w+\\.tpl)'/", (string) file_get_contents($file), $found);
            foreach ($found[1] as $template) {
                if ($template === 'dashboards/DashBoardWidgetContents.tpl') {
                    continue; // vTiger's own
                }
                $module = strpos($file, '/settings/') !== false ? 'Settings/Calls' : 'Calls';
                self::assertFileExists(self::SOURCES . "/layouts/v7/modules/$module/$template");
            }
        }
    }

    public function testColumnsAvoidVtigersTraps(): void
    {
        foreach (Schema::fields() as $name => $field) {
            // Lists and tabs are split at the word FROM, wherever it stands.
            self::assertStringNotContainsStringIgnoringCase('from', $name);
            self::assertMatchesRegularExpression('/^[a-z0-9_]{2,30}$/', $name);
            if (isset($field['values'])) {
                self::assertLessThanOrEqual(60, max(array_map('strlen', $field['values'])));
            }
        }
        self::assertStringNotContainsString('UNIQUE', Schema::TABLES['vtiger_calls'], 'a violated key leaves half a record and says nothing');
        foreach (Schema::filters() as $rules) {
            foreach ($rules as [$field]) {
                self::assertArrayHasKey($field, Schema::fields());
            }
        }
        foreach (Schema::FILTER_COLUMNS as $column) {
            self::assertArrayHasKey($column, Schema::fields());
        }
    }

    public function testUnsafeWritesAreGuarded(): void
    {
        foreach (['ClickToCall', 'FollowUp', 'Seat'] as $action) {
            self::assertStringContainsString('validateWriteAccess', (string) file_get_contents(MODULE . "/actions/$action.php"), $action);
        }
        $save = (string) file_get_contents(self::SOURCES . '/settings/actions/Save.php');
        self::assertStringContainsString('extends Settings_Vtiger_Basic_Action', $save, 'administrators only');
        self::assertStringContainsString('validateWriteAccess', $save);
        foreach (glob(MODULE . '/actions/*.php') as $file) {
            $asks = '/requiresPermission|extends Vtiger_(Save|SaveAjax|MassSave)_Action/';
            self::assertMatchesRegularExpression($asks, (string) file_get_contents($file), $file);
        }
        foreach (self::files('/\.js$/') as $file) {
            self::assertDoesNotMatchRegularExpression('/innerHTML|\.html\(|document\.write|eval\(/', (string) file_get_contents($file), $file);
        }
    }

    public function testEveryTemplateVariableIsEscaped(): void
    {
        $plain = '/^\$(C\.id|G\.(group|groupid|priority)|U\.id|O\.kind|L\.(status|took_ms)|M|MODULE|MODULE_NAME|QUALIFIED_MODULE|KIND|CHART_NAME|RULES\.(log_days|seat_idle_hours|seat_end_hour))$/';
        foreach (self::files('/\.tpl$/') as $file) {
            // What is marked `nofilter` is HTML of our own, made by Calls_Url_UIType::player.
            $text = str_replace('{$ONE.player nofilter}', '', (string) file_get_contents($file));
            preg_match_all('/\{(\$[\w.]+)(\|[^}]*)?\}/', $text, $found, PREG_SET_ORDER);
            foreach ($found as $use) {
                $escaped = strpos($use[2] ?? '', 'escape') !== false;
                self::assertTrue($escaped || preg_match($plain, $use[1]) === 1, basename($file) . ": {$use[0]}");
            }
        }
    }

    /** @return list<string> */
    private static function files(string $pattern): array
    {
        $all = new RecursiveIteratorIterator(new RecursiveDirectoryIterator(realpath(self::SOURCES), FilesystemIterator::SKIP_DOTS));
        $files = [];
        foreach ($all as $file) {
            if (preg_match($pattern, (string) $file)) {
                $files[] = (string) $file;
            }
        }
        sort($files);
        return $files;
    }
}
